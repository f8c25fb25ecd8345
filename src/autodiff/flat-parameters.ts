import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { dimsOf, float16Bits, float16Value, protoOf, tensorOf } from "../onnx/tensor-proto.ts";

/** Numbers from which on a copy costs more than the operations that another vector brings. */
const largeTensor = 65_536;

/** One stored tensor of a model within a flat vector. */
export type Slice = { readonly name: string; readonly offset: number; readonly dims: readonly number[] };

/**
 * Stored tensors of a model side by side in one float32 vector: what optimizers, clipping, compression and checkpoints
 * work on. float16 tensors are float32 here and rounded when they are written back.
 */
export class FlatParameters {
  readonly slices: readonly Slice[];
  /** Numbers in the vector. */
  readonly length: number;

  constructor(slices: readonly Slice[]) {
    this.slices = slices;
    this.length = slices.reduce((sum, { dims }) => sum + sizeOf(dims), 0);
  }

  /**
   * The layout of these tensors of a model, in this order.
   * @throws TidegateError MODEL_UNTRAINABLE when the model stores no such tensor, or not as real numbers
   */
  static of(model: ModelProto, names: readonly string[]): FlatParameters {
    let offset = 0;
    const slices = names.map((name) => {
      const proto = storedIn(model, name);
      const slice = { name, offset, dims: dimsOf(proto) };
      offset += sizeOf(slice.dims);
      return slice;
    });
    return new FlatParameters(slices);
  }

  /**
   * Runs of its tensors, in order, that a graph carries as vectors of their own: a large tensor alone, so that it is never
   * copied out of a longer one and back; small ones together, since each vector costs every operation of the optimizer.
   */
  pieces(): readonly FlatParameters[] {
    const runs: Slice[][] = [];
    let last = 0;
    for (const slice of this.slices) {
      const size = sizeOf(slice.dims);
      const isLarge = size >= largeTensor;
      const run = runs.at(-1);
      if (run && !isLarge && last < largeTensor) run.push(slice);
      else runs.push([slice]);
      last = size;
    }
    return runs.map((run) => {
      const from = run[0]?.offset ?? 0;
      return new FlatParameters(run.map((slice) => ({ ...slice, offset: slice.offset - from })));
    });
  }

  /** The vector of a model's tensors. */
  pack(model: ModelProto): Float32Array {
    const flat = new Float32Array(this.length);
    for (const { name, offset } of this.slices) flat.set(realNumbers(tensorOf(storedIn(model, name))), offset);
    return flat;
  }

  /** Writes the vector into a model's tensors, in place, in the type that each has. */
  unpack(flat: Float32Array, model: ModelProto): void {
    for (const { name, offset, dims } of this.slices) {
      const proto = storedIn(model, name);
      const { type } = tensorOf(proto);
      const data = flat.slice(offset, offset + sizeOf(dims));
      const written: Tensor =
        type === "float16"
          ? { type, dims, data: Uint16Array.from(data, float16Bits) }
          : type === "float64"
            ? { type, dims, data: Float64Array.from(data) }
            : { type: "float32", dims, data };
      // What stood in a typed field goes: the raw bytes are the tensor now.
      Object.assign(proto, { ...protoOf(written, name), floatData: [], doubleData: [], int32Data: [] });
    }
  }

  /** Cuts the vector into its tensors, in a graph: values of their shapes, by name. */
  cut(g: GraphBuilder, flat: Value): Map<string, Value> {
    const [only] = this.slices;
    const parts =
      this.slices.length === 1 && only
        ? [flat]
        : g.split(
            flat,
            this.slices.map(({ dims }) => sizeOf(dims)),
            this.slices.length,
          );
    return new Map(
      this.slices.map(({ name, dims }, index): [string, Value] => {
        const part = parts[index];
        if (!part) throw new TidegateError("BUG", { detail: `no part for ${name}` });
        const whole = g.reshape(part, dims, { name });
        return [name, g.know(whole, { type: "float32", shape: dims })];
      }),
    );
  }

  /** Puts tensors (in the order of the slices) side by side, in a graph. */
  join(g: GraphBuilder, values: readonly Value[]): Value {
    const flat = values.map((value) => g.reshape(value, [-1]));
    const joined = flat.length === 1 && flat[0] ? flat[0] : g.concat(flat, 0);
    return g.know(joined, { type: "float32", shape: [this.length] });
  }
}

function storedIn(model: ModelProto, name: string) {
  const proto = model.graph?.initializer.find((each) => each.name === name);
  const reason = proto ? (isReal(proto.dataType) ? undefined : "it is no tensor of real numbers") : "there is none";
  if (proto && reason === undefined) return proto;
  throw new TidegateError("MODEL_UNTRAINABLE", {
    node: JSON.stringify(name),
    op: "stored tensor",
    reason,
    remedy: "Name under `trainable` in the card only weights that model.onnx stores.",
  });
}

/** float32, float16, float64. */
const isReal = (dataType: number): boolean => dataType === 1 || dataType === 10 || dataType === 11;

const realNumbers = ({ type, data }: Tensor): ArrayLike<number> =>
  type === "float16" ? Float32Array.from(data as Uint16Array, float16Value) : (data as Float32Array);

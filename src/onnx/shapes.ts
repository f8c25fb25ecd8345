import { create } from "@bufbuild/protobuf";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Tensor, TensorType } from "../base/tensor.ts";
import { typeOfNumber } from "./element-type.ts";
import { encodeModel } from "./model-file.ts";
import { GraphProtoSchema, type ModelProto, ModelProtoSchema, ValueInfoProtoSchema } from "./onnx_pb.ts";
import { sampleTensor } from "./sample-tensor.ts";
import { dimsOf } from "./tensor-proto.ts";
import { type Dim, type Knowledge, knowledgeOf, type Shape, valueInfoOf } from "./value-info.ts";

/**
 * Runs a model once and gives all outputs that are tensors (`Session.run` does). Within one `learnShapes` the bytes are
 * the same object, so that a session may be kept for them.
 */
export type RunModel = (model: Uint8Array, feeds: Readonly<Record<string, Tensor>>) => Promise<Record<string, Tensor>>;

export type ShapeOptions = {
  /** Size of a symbolic dimension to start from, where the model does not take any (an image has a least size). */
  readonly sizes?: Readonly<Record<string, number>>;
  /** The tensor to feed to an input, where zeros (integers) or small numbers (floats) do not do. */
  readonly sample?: (name: string, type: TensorType, dims: readonly number[]) => Tensor | undefined;
};

export type LearntShapes = {
  /**
   * Every value of the model's graph that is a tensor: inputs, weights, and the results of all nodes. A dimension that
   * follows the inputs is a symbol (`batch`) or an expression of one or more (`2*batch+1`): equal texts are equal sizes. One that
   * follows them in another way (a product, a halving, the data) is null. Values inside subgraphs cannot be looked at
   * from outside: of them only their body's declarations are known.
   */
  readonly values: ReadonlyMap<string, Knowledge>;
  /** Symbols that the model declares, but cannot vary (a Reshape has the batch built in), with the size that works. */
  readonly fixed: ReadonlyMap<string, number>;
};

type Sizes = ReadonlyMap<string, number>;
type Observed = ReadonlyMap<string, { readonly type: TensorType; readonly dims: readonly number[] }>;

/**
 * Finds the types and shapes of all values by running the model, with every intermediate as an output.
 *
 * Each symbolic dimension of the inputs is varied by itself between two coprime sizes, which gives a*n + b for every
 * dimension; a last run with all of them changed at once verifies. Dimensions without a name are taken to be the same
 * symbol when they have the same place (`dim0`: mostly the batch). A model whose dimensions are all fixed is run once,
 * and its shapes are those of that run: a batch of 1 stays 1.
 *
 * @throws TidegateError MODEL_RUN_FAILED when the model runs at no size that was tried
 */
export async function learnShapes(model: ModelProto, run: RunModel, options: ShapeOptions = {}): Promise<LearntShapes> {
  const probe = new Probe(model, run, options);
  const base = await probe.start();
  const varied: Varied[] = [];
  const fixed = new Map<string, number>();
  for (const [symbol, size] of base.sizes) {
    const step = coprimeStep(size);
    const seen = await probe.observe(withSize(base.sizes, symbol, size + step)).catch(() => undefined);
    if (seen) varied.push({ symbol, size, step, seen });
    else fixed.set(symbol, size);
  }
  const far = new Map(base.sizes);
  for (const { symbol, size, step } of varied) far.set(symbol, size + step + coprimeStep(size + step));
  const check = varied.length === 0 ? base.seen : await probe.observe(far);

  const values = new Map<string, Knowledge>();
  for (const [name, { type, dims }] of base.seen) {
    const runs = [check, ...varied.map(({ seen }) => seen)];
    const sameRank = runs.every((seen) => seen.get(name)?.dims.length === dims.length);
    const dimension = (size: number, axis: number): Dim => {
      const at = (seen: Observed): number => seen.get(name)?.dims[axis] ?? Number.NaN;
      const terms = varied.map(({ symbol, step, seen }) => ({ symbol, slope: (at(seen) - size) / step }));
      const rest = evaluate(terms, base.sizes, 0);
      const holds =
        evaluate(terms, far, size - rest) === at(check) && terms.every(({ slope }) => Number.isInteger(slope));
      return holds ? renderDim(terms, size - rest) : null;
    };
    values.set(name, { type, shape: sameRank ? dims.map(dimension) : undefined });
  }
  return { values, fixed };
}

type Varied = { readonly symbol: string; readonly size: number; readonly step: number; readonly seen: Observed };
type Term = { readonly symbol: string; readonly slope: number };

const evaluate = (terms: readonly Term[], sizes: Sizes, rest: number): number =>
  terms.reduce((sum, { symbol, slope }) => sum + slope * (sizes.get(symbol) ?? 0), rest);

/** Writes what was learnt into the graph's declarations, in place, where `GraphBuilder.from` finds it. */
export function declareShapes(model: ModelProto, { values }: LearntShapes): void {
  if (!model.graph) return;
  const declared = new Set([...model.graph.input, ...model.graph.output].map(({ name }) => name));
  const inner = [...values].filter(([name]) => !declared.has(name));
  model.graph.valueInfo = inner.map(([name, knowledge]) => valueInfoOf(name, knowledge));
}

/** The runs of one model with all its values as outputs. */
class Probe {
  readonly #run: RunModel;
  readonly #options: ShapeOptions;
  readonly #inputs: readonly { name: string; type: TensorType; shape: Shape }[];
  readonly #bytes: Uint8Array;
  readonly #weights: Observed;

  constructor(model: ModelProto, run: RunModel, options: ShapeOptions) {
    const { graph = create(GraphProtoSchema) } = model;
    const stored = new Set(graph.initializer.map(({ name }) => name));
    const results = [...new Set(graph.node.flatMap(({ output }) => output))].filter((name) => name !== "");
    this.#run = run;
    this.#options = options;
    this.#weights = new Map(
      graph.initializer.flatMap((proto) => {
        const type = typeOfNumber(proto.dataType);
        return type === undefined ? [] : [[proto.name, { type, dims: dimsOf(proto) }] as const];
      }),
    );
    this.#inputs = graph.input
      .filter(({ name }) => !stored.has(name))
      .map((info) => {
        const { type, shape } = knowledgeOf(info);
        if (type === undefined || shape === undefined) {
          throw new TidegateError("MODEL_UNSUPPORTED", {
            what: `input ${JSON.stringify(info.name)}`,
            reason: "its type or rank is unknown",
          });
        }
        return { name: info.name, type, shape: shape.map((dim, axis) => dim ?? `dim${axis}`) };
      });
    const declared = new Map(graph.output.map((info) => [info.name, info]));
    // An output without a type is allowed: onnxruntime infers it.
    const output = results.map((name) => declared.get(name) ?? create(ValueInfoProtoSchema, { name }));
    const open = Object.assign(create(GraphProtoSchema), graph, { output });
    this.#bytes = encodeModel(Object.assign(create(ModelProtoSchema), model, { graph: open }));
  }

  /** The first sizes at which the model runs: distinct primes, else 1 throughout. */
  async start(): Promise<{ sizes: Sizes; seen: Observed }> {
    const symbols = [...new Set(this.#inputs.flatMap(({ shape }) => shape.filter((dim) => typeof dim === "string")))];
    const given = this.#options.sizes ?? {};
    const choices = [(index: number): number => primes[index % primes.length] ?? 5, (): number => 1];
    let fault: unknown;
    for (const choose of choices) {
      const sizes = new Map(symbols.map((symbol, index) => [symbol, given[symbol] ?? choose(index)] as const));
      try {
        return { sizes, seen: await this.observe(sizes) };
      } catch (cause) {
        fault = cause;
      }
    }
    throw new TidegateError("MODEL_RUN_FAILED", { reason: reasonOf(fault) }, { cause: fault });
  }

  async observe(sizes: Sizes): Promise<Observed> {
    const feeds: Record<string, Tensor> = {};
    for (const { name, type, shape } of this.#inputs) {
      const dims = shape.map((dim) => (typeof dim === "string" ? (sizes.get(dim) ?? 1) : (dim ?? 1)));
      feeds[name] = this.#options.sample?.(name, type, dims) ?? sampleTensor(type, dims);
    }
    const results = await this.#run(this.#bytes, feeds);
    const entries = Object.entries({ ...feeds, ...results });
    return new Map([...this.#weights, ...entries.map(([name, { type, dims }]) => [name, { type, dims }] as const)]);
  }
}

const primes = [5, 7, 11, 13, 17, 19, 23, 29];

/** A step from n to a size that shares no factor with it. */
function coprimeStep(n: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let step = 2;
  while (gcd(n, n + step) !== 1) step += 1;
  return step;
}

const withSize = (sizes: Sizes, symbol: string, size: number): Sizes => new Map(sizes).set(symbol, size);

function renderDim(terms: readonly Term[], rest: number): Dim {
  const present = terms.filter(({ slope }) => slope !== 0);
  if (present.length === 0) return rest;
  const texts = present.map(({ symbol, slope }) => (slope === 1 ? symbol : `${slope}*${symbol}`));
  return [...texts, ...(rest === 0 ? [] : [String(rest)])].join("+").replaceAll("+-", "-");
}

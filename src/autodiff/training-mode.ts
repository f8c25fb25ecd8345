import { TidegateError } from "../base/errors.ts";
import { sizeOf } from "../base/tensor.ts";
import { numberAttribute } from "../onnx/attribute.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import type { ModelProto, NodeProto } from "../onnx/onnx_pb.ts";
import type { Knowledge } from "../onnx/value-info.ts";

type Inputs = readonly (Value | null)[];

/**
 * How nodes of a model behave differently while it is trained: Dropout drops, batch normalisation normalises by its
 * batch and follows the data. Batch normalisation whose scale is not trained stays as in inference.
 */
export class TrainingMode {
  /** Random numbers in [0, 1) that the dropouts of one batch need together. */
  readonly noiseLength: number;
  /** Stored tensors that follow the data: running means and variances. */
  readonly moments: readonly string[];
  /** What each of them becomes, once the nodes have been written. */
  readonly followed = new Map<string, Value>();
  readonly #known: ReadonlyMap<string, Knowledge>;
  readonly #followers: ReadonlySet<NodeProto>;
  #noise: Value | undefined;
  #noiseUsed = 0;

  /**
   * @param model  lifted
   * @param known  shapes of the model's values at the batch of the training
   * @param parameters  names of what is trained
   */
  constructor(model: ModelProto, known: ReadonlyMap<string, Knowledge>, parameters: readonly string[]) {
    const nodes = model.graph?.node ?? [];
    this.#known = known;
    const followers = nodes.filter(
      ({ opType, input }) => opType === "BatchNormalization" && parameters.includes(input[1] ?? ""),
    );
    this.#followers = new Set(followers);
    this.moments = [...new Set(followers.flatMap(({ input }) => input.slice(3, 5)))];
    this.noiseLength = nodes
      .filter(({ opType }) => opType === "Dropout")
      .reduce((sum, node) => sum + this.#size(node), 0);
  }

  /** @param noise  float32 [noiseLength] of this batch, when there are dropouts */
  begin(noise: Value | undefined): void {
    this.#noise = noise;
    this.#noiseUsed = 0;
  }

  /** For `inline`: what stands for the outputs of a node that behaves differently; undefined for all others. */
  replace(g: GraphBuilder, node: NodeProto, inputs: Inputs): readonly Value[] | undefined {
    if (node.opType === "Dropout" && this.#noise) return [this.#drop(g, node, inputs, this.#noise)];
    return this.#followers.has(node) ? this.#follow(g, node, inputs) : undefined;
  }

  /** By arithmetic on numbers that are fed: the operator's own would begin anew with every session. */
  #drop(g: GraphBuilder, node: NodeProto, [x = null, ratio = null]: Inputs, noise: Value): Value {
    const size = this.#size(node);
    const numbers = g.slice(noise, { starts: [this.#noiseUsed], ends: [this.#noiseUsed + size], axes: [0] });
    this.#noiseUsed += size;
    const rate = ratio ?? 0.5;
    const kept = g.greaterOrEqual(g.reshape(numbers, this.#dims(node)), rate);
    return g.where(kept, g.div(x, g.sub(1, rate)), 0);
  }

  #follow(g: GraphBuilder, node: NodeProto, inputs: Inputs): readonly Value[] {
    const attributes = {
      training_mode: 1,
      epsilon: numberAttribute(node, "epsilon", 1e-5),
      momentum: numberAttribute(node, "momentum", 0.9),
    };
    const [y, mean, variance] = g.ops("BatchNormalization", 3, inputs, attributes) as [Value, Value, Value];
    for (const [index, value] of [mean, variance].entries()) this.followed.set(node.input[3 + index] ?? "", value);
    return [y];
  }

  #size = (node: NodeProto): number => sizeOf(this.#dims(node));

  #dims(node: NodeProto): readonly number[] {
    const shape = this.#known.get(node.output[0] ?? "")?.shape;
    if (shape?.every((dim) => typeof dim === "number")) return shape;
    throw new TidegateError("MODEL_UNTRAINABLE", {
      node: node.name || node.output[0],
      op: node.opType,
      reason: "the shape of what it drops from is not fixed",
      remedy: "Give the model a fixed size there: all but the batch must be known.",
    });
  }
}

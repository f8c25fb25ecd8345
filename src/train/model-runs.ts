import { clone, create } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, tensor } from "../base/tensor.ts";
import { loadSession, type Session } from "../drivers/onnxruntime.ts";
import type { Card } from "../inference/card.ts";
import { constantOf } from "../inference/loaded-model.ts";
import { prune, usedBy } from "../onnx/graph-walk.ts";
import { encodeModel } from "../onnx/model-file.ts";
import { type ModelProto, ModelProtoSchema, NodeProtoSchema, ValueInfoProtoSchema } from "../onnx/onnx_pb.ts";
import type { DataSet } from "./data-set.ts";
import { readRows } from "./example-rows.ts";

export type RunOptions = {
  /** Threads of one run. Default 1. */
  readonly threads?: number;
  /** Examples of one run, where the model leaves it open. Default 256. */
  readonly batch?: number;
};

/** What a model gave for some examples: values [examples, …] by name. */
export type RunResult = { readonly examples: Int32Array; readonly values: Readonly<Record<string, Tensor>> };

const suffix = "/told";

/**
 * Runs a model over examples and gives any values of its graph, outputs or not. For the trainer's process and the
 * command line: a run blocks its thread.
 */
export class ModelRuns {
  readonly #session: Session;
  readonly #card: Card;
  readonly #values: readonly string[];
  readonly #batch: number;
  readonly #isFixed: boolean;

  private constructor(session: Session, card: Card, values: readonly string[], batch: number) {
    this.#session = session;
    this.#card = card;
    this.#values = values;
    const constants = new Set(card.inputs.filter(({ from }) => from === "constant").map(({ name }) => name));
    const size = session.inputs.find(({ name }) => !constants.has(name))?.shape?.[0];
    this.#isFixed = typeof size === "number" && size > 0;
    this.#batch = this.#isFixed ? Number(size) : batch;
  }

  /**
   * @param values  names of the values that are wanted: outputs, results of nodes, stored tensors or inputs
   * @throws TidegateError MODEL_UNREADABLE, DATA_UNUSABLE when the graph has no such value
   */
  static async open(
    model: ModelProto,
    card: Card,
    values: readonly string[],
    { threads = 1, batch = 256 }: RunOptions = {},
  ): Promise<ModelRuns> {
    const session = await loadSession(encodeModel(telling(model, values)), { threads });
    return new ModelRuns(session, card, values, batch);
  }

  /** @throws TidegateError MODEL_RUN_FAILED */
  async *over(data: DataSet, examples: Int32Array): AsyncGenerator<RunResult> {
    for (let from = 0; from < examples.length; from += this.#batch) {
      const part = examples.subarray(from, from + this.#batch);
      const filled = this.#isFixed && part.length < this.#batch ? repeated(part, this.#batch) : part;
      const results = await this.#session.run(this.#feeds(data, filled));
      const values = Object.fromEntries(
        this.#values.map((name) => [name, cut(results[name + suffix], filled.length, part.length)]),
      );
      yield { examples: part, values };
    }
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  #feeds(data: DataSet, examples: Int32Array): Record<string, Tensor> {
    const feeds = this.#session.inputs.map(({ name, type = "float32", shape }): [string, Tensor] => {
      const rows = data.inputs[name];
      if (rows) return [name, readRows(data, rows, examples, type)];
      const input = this.#card.inputs.find((each) => each.name === name);
      if (input?.from === "constant") return [name, constantOf(input)];
      const dims = (shape ?? []).map((dim, axis) => (axis === 0 ? examples.length : Number(dim)));
      if (input?.from === "state" && type === "float32")
        return [name, tensor(type, dims, new Float32Array(sizeOf(dims)))];
      throw new TidegateError("MODEL_RUN_FAILED", { reason: `the data have nothing for input ${name}` });
    });
    return Object.fromEntries(feeds);
  }
}

/** A copy of the model whose outputs are these values, under names of their own, and nothing that they do not need. */
function telling(model: ModelProto, values: readonly string[]): ModelProto {
  const copy = clone(ModelProtoSchema, model);
  const { graph } = copy;
  if (!graph) throw new TidegateError("MODEL_UNREADABLE", { file: "the model", reason: "it has no graph" });
  const known = new Set([
    ...[...graph.input, ...graph.initializer].map(({ name }) => name),
    ...graph.node.flatMap(({ output }) => output),
  ]);
  for (const name of values) {
    if (known.has(name)) continue;
    throw new TidegateError("DATA_UNUSABLE", {
      what: "the model",
      reason: `its graph has no value ${JSON.stringify(name)}`,
      remedy: "Mend the names in the card's `loss`, `target`, `fit` and `calibration`.",
    });
  }
  graph.output = values.map((name) => create(ValueInfoProtoSchema, { name: name + suffix }));
  for (const name of values)
    graph.node.push(create(NodeProtoSchema, { opType: "Identity", input: [name], output: [name + suffix] }));
  prune(graph);
  const used = new Set(graph.node.flatMap((node) => [...usedBy(node)]));
  graph.input = graph.input.filter(({ name }) => used.has(name));
  return copy;
}

function repeated(examples: Int32Array, count: number): Int32Array {
  const filled = new Int32Array(count).fill(examples[0] ?? 0);
  filled.set(examples);
  return filled;
}

/** The rows of the examples alone; a value that is the same for all of them stays whole. */
function cut(value: Tensor | undefined, filled: number, count: number): Tensor {
  if (!value || value.type === "string")
    throw new TidegateError("MODEL_RUN_FAILED", { reason: "a value is missing, or no number" });
  if (filled === count || value.dims[0] !== filled) return value;
  const width = sizeOf(value.dims) / filled;
  return { ...value, dims: [count, ...value.dims.slice(1)], data: value.data.slice(0, count * width) } as Tensor;
}

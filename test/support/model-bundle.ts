import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { tensor } from "../../src/base/tensor.ts";
import { loop } from "../../src/onnx/control-flow.ts";
import { GraphBuilder, type Value } from "../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";

export type BundleSpec = {
  name?: string;
  version?: number;
  size?: number;
  fields?: readonly string[];
  /** Multiplies the score: tells versions apart. */
  factor?: number;
  batch?: number | "batch";
  golden?: readonly object[];
  /** Repeats a large product this often: makes a run slow. */
  work?: number;
  /** A window with a larger value keeps the model busy for ever. */
  hangsAbove?: number;
  /** Keys of the card that differ. */
  card?: Record<string, unknown>;
};

/** Writes a real bundle whose score is `factor` times the sum of the window; alarm above 100. */
export function writeBundle(root: string, spec: BundleSpec = {}): string {
  const {
    name = "sum",
    version = 1,
    size = 4,
    fields = ["a", "b"],
    factor = 1,
    batch = "batch",
    golden,
    work = 0,
    hangsAbove,
  } = spec;
  const dir = join(root, name);
  mkdirSync(dir, { recursive: true });
  const g = new GraphBuilder();
  const x = g.input("window", "float32", [batch, size, fields.length]);
  let score = g.mul(g.sum(x, [1, 2]), factor);
  if (work > 0) score = g.add(score, busy(g, work));
  if (hangsAbove !== undefined) score = g.add(score, endless(g, g.greater(g.maximum(x), hangsAbove)));
  g.output("score", score);
  writeFileSync(join(dir, "model.onnx"), encodeModel(g.model));
  const card = {
    format: 1,
    name,
    version,
    task: "anomaly",
    fields: fields.map((field) => ({ name: field, unit: "1" })),
    period: "1s",
    window: { size, hop: 1 },
    inputs: [{ name: "window", dims: [batch, size, fields.length] }],
    outputs: [{ name: "score", kind: "score", dims: [batch], tolerance: 0.001 }],
    verdict: { output: "score", above: 100 },
    ...spec.card,
  };
  writeFileSync(join(dir, "card.yaml"), stringify(card));
  if (golden) writeFileSync(join(dir, "golden.ndjson"), golden.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return dir;
}

/** Zero, at the price of `rounds` products of 512 x 512 that no optimizer can leave out. */
function busy(g: GraphBuilder, rounds: number): Value {
  const seed = g.op("RandomUniform", [], { shape: [512, 512], dtype: 1 });
  g.know(seed, { type: "float32", shape: [512, 512] });
  let product = seed;
  for (let i = 0; i < rounds; i++) product = g.mul(g.matmul(product, seed), 0.001);
  return g.mul(g.mean(product), 0);
}

/** Zero, after more rounds than anybody waits for when the condition holds. */
function endless(g: GraphBuilder, condition: Value): Value {
  const rounds = g.mul(g.cast(condition, "int64"), g.constant(tensor("int64", [], BigInt64Array.of(2n ** 50n))));
  const { state } = loop(g, { trips: rounds, state: [g.mul(g.cast(condition, "float32"), 0)] }, (body, round) => ({
    state: round.state.map((value) => body.mul(value, 0.5)),
  }));
  const [zero] = state;
  if (!zero) throw new Error("a loop gives its state back");
  return zero;
}

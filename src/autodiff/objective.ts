import { clone } from "@bufbuild/protobuf";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { GraphBuilder, type Value } from "../onnx/graph-builder.ts";
import { lift } from "../onnx/lift.ts";
import { type ModelProto, ModelProtoSchema } from "../onnx/onnx_pb.ts";
import { learnShapes, type RunModel } from "../onnx/shapes.ts";
import { type Knowledge, knowledgeOf, valueInfoOf } from "../onnx/value-info.ts";
import { batchLoss } from "./losses.ts";
import { poolFirst } from "./pool-first.ts";
import type { TrainingSpec } from "./training-spec.ts";

/** A model with its loss behind it, at the batch of the training. */
export type Objective = {
  /** Takes the model's inputs, `target` (unless it is a value of the model) and `sampleWeights`; gives the four below. */
  readonly model: ModelProto;
  /** Names in `model`. */
  readonly target: string | undefined;
  readonly sampleWeights: string;
  /** Scalar: the mean that is minimised. */
  readonly loss: string;
  /** Scalar: what it was divided by. */
  readonly weight: string;
  /** float32 [batch] */
  readonly perSample: string;
  /** Types and shapes of all values. */
  readonly known: ReadonlyMap<string, Knowledge>;
};

/**
 * Puts the loss behind a model, and learns all shapes by running both.
 *
 * @param model  any opset from 7; not changed
 * @throws TidegateError MODEL_UNTRAINABLE, MODEL_UNSUPPORTED
 */
export async function objectiveOf(model: ModelProto, spec: TrainingSpec, run: RunModel): Promise<Objective> {
  const forward = withBatch(lift(clone(ModelProtoSchema, model)), spec);
  const looked = [spec.output, spec.scale ?? "", "value" in spec.target ? spec.target.value : ""];
  if (forward.graph) poolFirst(forward.graph, new Set(looked));
  const shapes = await learn(forward, spec, run);
  const g = GraphBuilder.from(forward);
  for (const [name, knowledge] of shapes.values) g.know(g.value(name), knowledge);
  const value = (name: string): Value => existing(g, name);
  const given = value(spec.output);
  const { scale } = spec;
  const target = "value" in spec.target ? undefined : targetInput(g, spec, given, spec.target);
  const wanted = target ?? value("value" in spec.target ? spec.target.value : "");
  const unit = (each: Value): Value => (scale === undefined ? each : g.div(each, value(scale)));
  const sampleWeights = g.input(g.unusedName("sampleWeights"), "float32", [spec.batch]);
  g.graph.output = [];
  const { loss, weight, perSample } = batchLoss(g, unit(given), unit(wanted), sampleWeights, spec.loss);
  const give = (name: string, each: Value): string => g.output(g.unusedName(name), each).name;
  const names = { loss: give("loss", loss), weight: give("weight", weight), perSample: give("perSample", perSample) };
  const { values: known } = await learn(forward, spec, run);
  return { model: forward, ...names, target: target?.name, sampleWeights: sampleWeights.name, known };
}

function targetInput(
  g: GraphBuilder,
  { loss, batch }: TrainingSpec,
  output: Value,
  { span, dims }: { span?: number; dims: readonly number[] },
): Value {
  const type = loss.kind === "crossEntropy" ? "int64" : (output.type ?? "float32");
  return g.input(g.unusedName("target"), type, [batch, ...(span === undefined ? [] : [span]), ...dims]);
}

function existing(g: GraphBuilder, name: string): Value {
  const { input, initializer, node } = g.graph;
  const isThere =
    [...input, ...initializer].some((each) => each.name === name) || node.some(({ output }) => output.includes(name));
  if (isThere) return g.value(name);
  throw new TidegateError("MODEL_UNTRAINABLE", {
    node: JSON.stringify(name),
    op: "value",
    reason: "the model has no such value",
    remedy: "Name in the card's `loss` and `target` a value of the graph: `tidegate model show` lists the outputs.",
  });
}

/** The model with its inputs declared at the size of the training's batch, in place. */
function withBatch(model: ModelProto, { inputs, batch }: TrainingSpec): ModelProto {
  for (const info of model.graph?.input ?? []) {
    const { type, shape } = knowledgeOf(info);
    const rows = inputs[info.name];
    const inner = rows ? [...(rows.span === undefined ? [] : [rows.span]), ...rows.dims] : shape?.slice(1);
    if (inner) Object.assign(info, valueInfoOf(info.name, { type, shape: [batch, ...inner] }));
  }
  return model;
}

async function learn(model: ModelProto, { batch }: TrainingSpec, run: RunModel) {
  // What was declared for another batch would contradict this one.
  for (const info of model.graph?.output ?? []) info.type = undefined as never;
  try {
    return await learnShapes(model, run);
  } catch (cause) {
    const reason = `it does not run on a batch of ${batch}: ${reasonOf(cause)}`;
    const remedy =
      "Export it with a batch that is not fixed, or train with `--batch` of the size that it has built in.";
    throw new TidegateError("MODEL_UNTRAINABLE", { node: "all", op: "the model", reason, remedy }, { cause });
  }
}

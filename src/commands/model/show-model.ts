import { clone } from "@bufbuild/protobuf";
import { trainabilityOf } from "../../autodiff/trainability.ts";
import type { Bundle } from "../../inference/bundle.ts";
import { lift } from "../../onnx/lift.ts";
import { readModel } from "../../onnx/model-file.ts";
import { type ModelProto, ModelProtoSchema } from "../../onnx/onnx_pb.ts";
import { type Port, summarize } from "../../onnx/summary.ts";
import { dimsOf } from "../../onnx/tensor-proto.ts";

/**
 * What `model show --json` prints: the card and the graph beside it. An operator is trainable when a gradient passes it
 * on the way from an output to a stored tensor that may be trained: those that the card names, else all real numbers.
 * @throws TidegateError FILE_UNREADABLE, MODEL_UNREADABLE
 */
export async function showModel({ card, modelFile, hash, dir }: Bundle) {
  const model = await readModel(modelFile);
  const { parameters, inputs, outputs, operators, opset, producer } = summarize(model);
  const training = trainingOf(model, card.trainable);
  return {
    name: card.name,
    version: card.version,
    task: card.task,
    description: card.description,
    parameters,
    ...training.facts,
    opset: opset ?? null,
    producer,
    hash,
    dir,
    fields: card.fields,
    window: card.window ?? null,
    inputs: inputs.map((port) => portOf(port, card.inputs)),
    outputs: outputs.map((port) => portOf(port, card.outputs)),
    operators: operators.map(({ op, count }) => ({ op, count, trainable: training.passed.has(op) })),
  };
}

type Parts = Readonly<Record<string, string>>;

function trainingOf(model: ModelProto, parts: Parts) {
  const stored = (model.graph?.initializer ?? []).filter(({ dataType }) => realTypes.has(dataType));
  const chosen = Object.keys(parts).length === 0 ? stored : stored.filter(({ name }) => isTrained(parts[name]));
  const trainableParameters = chosen.reduce((sum, proto) => sum + dimsOf(proto).reduce((a, b) => a * b, 1), 0);
  try {
    const { onTheWay, blocked } = trainabilityOf(
      lift(clone(ModelProtoSchema, model)),
      chosen.map(({ name }) => name),
    );
    const stops = new Set(blocked.map(({ op }) => op));
    const ways = [...onTheWay].map(({ domain, opType }) => nameOf(domain, opType));
    return {
      facts: { trainableParameters, blockedBy: blocked },
      passed: new Set(ways.filter((op) => !stops.has(op))),
    };
  } catch {
    // A model that cannot be lifted runs all the same: it is shown as one that cannot be trained.
    return {
      facts: { trainableParameters: 0, blockedBy: [{ node: "all", op: "an opset that is not known" }] },
      passed: new Set(),
    };
  }
}

/** float32, float16, float64. */
const realTypes = new Set([1, 10, 11]);

/** What is local is a statistic or a threshold: it is set, not trained. */
const isTrained = (part: string | undefined): boolean => part === "averaged" || part === "personal";

const nameOf = (domain: string, op: string): string => (domain === "" || domain === "ai.onnx" ? op : `${domain}.${op}`);

type CardPort = { readonly name: string; readonly dims: readonly (number | string)[] };

/** A graph need not declare the shapes of its outputs; the card does. */
const portOf = ({ name, type, shape }: Port, ports: readonly CardPort[]) => ({
  name,
  type: type ?? null,
  shape: shape ?? ports.find((port) => port.name === name)?.dims ?? null,
});

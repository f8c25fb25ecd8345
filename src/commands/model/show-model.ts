import type { Bundle } from "../../inference/bundle.ts";
import { nodesIn } from "../../onnx/graph-walk.ts";
import { readModel } from "../../onnx/model-file.ts";
import { type Port, summarize } from "../../onnx/summary.ts";

/**
 * What `model show --json` prints: the card and the graph beside it.
 * @throws TidegateError FILE_UNREADABLE, MODEL_UNREADABLE
 */
export async function showModel({ card, modelFile, hash, dir }: Bundle) {
  const model = await readModel(modelFile);
  const { parameters, inputs, outputs, operators, opset, producer } = summarize(model);
  const trained = new Set(
    Object.entries(card.trainable).flatMap(([tensor, part]) => (part === "frozen" ? [] : [tensor])),
  );
  const nodes = model.graph ? [...nodesIn(model.graph)] : [];
  const trainable = new Set(
    nodes
      .filter(({ input }) => input.some((name) => trained.has(name)))
      .map(({ domain, opType }) => nameOf(domain, opType)),
  );
  return {
    name: card.name,
    version: card.version,
    task: card.task,
    description: card.description,
    parameters,
    opset: opset ?? null,
    producer,
    hash,
    dir,
    fields: card.fields,
    window: card.window ?? null,
    inputs: inputs.map((port) => portOf(port, card.inputs)),
    outputs: outputs.map((port) => portOf(port, card.outputs)),
    operators: operators.map(({ op, count }) => ({ op, count, trainable: trainable.has(op) })),
  };
}

const nameOf = (domain: string, op: string): string => (domain === "" || domain === "ai.onnx" ? op : `${domain}.${op}`);

type CardPort = { readonly name: string; readonly dims: readonly (number | string)[] };

/** A graph need not declare the shapes of its outputs; the card does. */
const portOf = ({ name, type, shape }: Port, ports: readonly CardPort[]) => ({
  name,
  type: type ?? null,
  shape: shape ?? ports.find((port) => port.name === name)?.dims ?? null,
});

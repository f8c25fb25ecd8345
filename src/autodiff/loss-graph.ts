import { loop } from "../onnx/control-flow.ts";
import { GraphBuilder } from "../onnx/graph-builder.ts";
import { prune } from "../onnx/graph-walk.ts";
import { inline } from "../onnx/inline.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { batchInputs, dataInputs, need } from "./batch-inputs.ts";
import type { FlatParameters } from "./flat-parameters.ts";
import type { Objective } from "./objective.ts";
import type { TrainingSpec } from "./training-spec.ts";

/**
 * A model that tells the loss of batches and changes nothing: dropouts let everything through, batch normalisation
 * goes by its running moments.
 *
 * Inputs, as those of the training graph: `weights`, `moments` (when there are any), `indices` and `sampleWeights`
 * [batches, batch], and the data. Outputs: `losses` and `counts`, float32 [batches].
 */
export function lossGraph(
  spec: TrainingSpec,
  objective: Objective,
  parameters: FlatParameters,
  moments: FlatParameters,
): ModelProto {
  const g = new GraphBuilder({ name: "losses" });
  const weights = g.input("weights", "float32", [parameters.length]);
  const running = moments.length === 0 ? undefined : g.input("moments", "float32", [moments.length]);
  const indices = g.input("indices", "int64", ["batches", spec.batch]);
  const sampleWeights = g.input("sampleWeights", "float32", ["batches", spec.batch]);
  const data = dataInputs(g, spec);
  const bound = [...parameters.cut(g, weights), ...(running ? moments.cut(g, running) : [])];
  const trips = g.squeeze(g.slice(g.shapeOf(indices), { starts: [0], ends: [1] }), [0]);
  const { scans } = loop(g, { trips, state: [], name: "batches" }, (body, { iteration }) => {
    const bindings = new Map([
      ...bound,
      ...batchInputs(body, spec, objective, data, body.gather(indices, iteration)),
      [objective.sampleWeights, body.gather(sampleWeights, iteration)] as const,
    ]);
    const values = inline(body, objective.model, { bindings, known: objective.known });
    return { state: [], scans: [need(values, objective.loss), need(values, objective.weight)] };
  });
  const given = new Map(["losses", "counts"].flatMap((name, index) => (scans[index] ? [[name, scans[index]]] : [])));
  for (const name of ["losses", "counts"]) g.output(name, need(given, name));
  for (const node of g.graph.node) for (const { g: body } of node.attribute) if (body) prune(body);
  prune(g.graph);
  return g.model;
}

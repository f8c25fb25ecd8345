import type { Value } from "../../onnx/graph-builder.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** ONNX's losses on labels: scores [N, C, d…], labels [N, d…], weights of the classes [C]. */
export const labelLoss: Readonly<Record<string, GradientRule>> = {
  NegativeLogLikelihoodLoss: (at) => {
    const { g, a: logs } = at;
    const part = likelihoodGradient(at, logs);
    return [part ?? g.zerosLike(logs)];
  },
  // The loss of its own log-probabilities (which may be a result as well), then as LogSoftmax.
  SoftmaxCrossEntropyLoss: (at) => {
    const { g, a: scores, outputs, upstream } = at;
    const logs = outputs[1] ?? g.know(g.logSoftmax(scores, 1), scores);
    const parts = [likelihoodGradient(at, logs), upstream[1]].filter((part) => part !== undefined);
    const [dLogs = g.zerosLike(scores)] = parts.length === 2 ? [g.op("Sum", parts)] : parts;
    const total = g.sum(dLogs, [1], { keep: true });
    // Positions that do not count may hold what is not a number.
    const pull = g.where(g.equal(total, 0), 0, g.mul(g.exp(logs), total));
    return [g.sub(dLogs, pull)];
  },
};

/** Minus the weight of each position that counts, at its label: what the loss on its log-probabilities hands back. */
function likelihoodGradient(at: NodeGradient, logs: Value): Value | undefined {
  const { g, inputs, upstream } = at;
  const [dLoss] = upstream;
  const classWeights = inputs[2];
  if (at.wants(2)) throw at.refusal("its class weights cannot be trained", "Freeze them (`trainable` in the card).");
  if (!dLoss) return undefined;
  const ignored = at.number("ignore_index", undefined);
  const isIgnored = ignored === undefined ? undefined : g.equal(at.b, ignored);
  // A label that is ignored may be no class at all; class 0 stands in.
  const label = isIgnored ? g.where(isIgnored, 0, at.b) : at.b;
  const [one] = g.alike(1, logs);
  const ofClass = classWeights ? g.gather(classWeights, label) : g.expand(one, g.shapeOf(label));
  const weight = isIgnored ? g.where(isIgnored, 0, ofClass) : ofClass;
  const isMean = at.text("reduction", "mean") === "mean";
  const upstreams = isMean ? g.div(dLoss, g.sum(weight)) : dLoss;
  const each = g.neg(isIgnored ? g.where(isIgnored, 0, g.mul(weight, upstreams)) : g.mul(weight, upstreams));
  const places = [g.unsqueeze(label, [1]), g.unsqueeze(each, [1])] as const;
  return g.op("ScatterElements", [g.zerosLike(logs), ...places], { axis: 1 });
}

import { TidegateError } from "../base/errors.ts";
import { loop } from "../onnx/control-flow.ts";
import { GraphBuilder, type Value } from "../onnx/graph-builder.ts";
import { prune } from "../onnx/graph-walk.ts";
import { inline } from "../onnx/inline.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import type { RunModel } from "../onnx/shapes.ts";
import { backward } from "./backward.ts";
import { batchInputs, dataInputs, need } from "./batch-inputs.ts";
import { FlatParameters } from "./flat-parameters.ts";
import { lossGraph } from "./loss-graph.ts";
import { objectiveOf } from "./objective.ts";
import { optimizerOf } from "./optimizers.ts";
import { TrainingMode } from "./training-mode.ts";
import type { TrainingSpec } from "./training-spec.ts";

/**
 * A model that trains another: one run does as many steps as `indices` has rows.
 *
 * | input | type and shape | |
 * | --- | --- | --- |
 * | weights, and each of `slots` | float32 [parameters] | what the last run gave; slots are zeros at first |
 * | moments | float32 [moments] | only when `moments` is not empty |
 * | step | float32 scalar | steps done so far |
 * | rates | float32 [steps] | learning rate of each step |
 * | indices | int64 [steps, batch] | number of the first row of each example |
 * | sampleWeights | float32 [steps, batch] | 0: the place is not filled |
 * | noise | float32 [steps, noiseLength] | uniform in [0, 1); only when there are dropouts |
 * | base | float32 [parameters] | only with `proximal` |
 * | the data | [rows, …] | by the names that the specification gives |
 *
 * Outputs: `weights_out`, `NAME_out` of each slot, `moments_out`, and for each step `losses` (mean over the batch) and
 * `counts` (what it was divided by), float32 [steps].
 */
export type TrainingGraph = {
  readonly model: ModelProto;
  /** Gives `losses` and `counts` alone, of the model as it is in use: see `lossGraph`. */
  readonly evaluation: ModelProto;
  readonly parameters: FlatParameters;
  readonly moments: FlatParameters;
  readonly slots: readonly string[];
  readonly noiseLength: number;
};

/**
 * Makes the graph that trains a model.
 *
 * @param model  any opset from 7; not changed
 * @param run  runs a model once, to learn its shapes
 * @throws TidegateError MODEL_UNTRAINABLE, MODEL_UNSUPPORTED
 */
export async function trainingGraph(model: ModelProto, spec: TrainingSpec, run: RunModel): Promise<TrainingGraph> {
  const objective = await objectiveOf(model, spec, run);
  const parameters = FlatParameters.of(objective.model, spec.parameters);
  const mode = new TrainingMode(objective.model, objective.known, spec.parameters);
  const moments = FlatParameters.of(objective.model, mode.moments);
  const optimizer = optimizerOf(spec.optimizer);
  const slots = optimizer.slots(spec.optimizer);

  const pieces = parameters.pieces();

  const g = new GraphBuilder({ name: "training" });
  const flat = (name: string): Value => g.input(name, "float32", [parameters.length]);
  const weights = flat("weights");
  const slotInputs = slots.map(flat);
  const momentInputs = moments.length === 0 ? [] : [g.input("moments", "float32", [moments.length])];
  const step = g.input("step", "float32", []);
  const rates = g.input("rates", "float32", ["steps"]);
  const indices = g.input("indices", "int64", ["steps", spec.batch]);
  const sampleWeights = g.input("sampleWeights", "float32", ["steps", spec.batch]);
  const noise = mode.noiseLength === 0 ? undefined : g.input("noise", "float32", ["steps", mode.noiseLength]);
  const base = spec.proximal === undefined ? undefined : apart(g, flat("base"), pieces);
  const data = dataInputs(g, spec);

  const trips = g.squeeze(g.shapeOf(rates), [0]);
  const vectors = [weights, ...slotInputs].flatMap((vector) => apart(g, vector, pieces));
  const carried = [...vectors, ...momentInputs, step];
  const results = loop(g, { trips, state: carried, name: "steps" }, (body, { iteration, state }) => {
    const [current = [], ...oldSlots] = vectorsOf(state, pieces, 1 + slots.length);
    const oldMoments = momentInputs.length === 0 ? undefined : state[vectors.length];
    const count = body.add(state.at(-1) ?? step, 1);
    const at = (all: Value): Value => body.gather(all, iteration);

    const cut = new Map(pieces.flatMap((piece, place) => [...piece.cut(body, current[place] ?? weights)]));
    const bindings = new Map([
      ...cut,
      ...(oldMoments ? moments.cut(body, oldMoments) : []),
      ...batchInputs(body, spec, objective, data, at(indices)),
      [objective.sampleWeights, at(sampleWeights)] as const,
    ]);
    mode.begin(noise && at(noise));
    const values = inline(body, objective.model, {
      bindings,
      known: objective.known,
      replace: (node, inputs) => mode.replace(body, node, inputs),
    });
    const gradients = gradientOf(body, need(values, objective.loss), cut, pieces, spec, { current, base });
    const updates = gradients.map((gradient, place) => {
      const own = oldSlots.map((slot) => slot[place] ?? gradient);
      const inputs = { weights: current[place] ?? gradient, gradient, slots: own, rate: at(rates), step: count };
      return optimizer.update(body, inputs, spec.optimizer);
    });
    const newSlots = slots.flatMap((_, slot) => updates.map((update) => update.slots[slot] ?? count));
    const newMoments = oldMoments ? [moments.join(body, followed(mode, moments, values))] : [];
    return {
      state: [...updates.map((update) => update.weights), ...newSlots, ...newMoments, count],
      scans: [need(values, objective.loss), need(values, objective.weight)],
    };
  });

  const joined = vectorsOf(results.state, pieces, 1 + slots.length).map((vector) => together(g, vector));
  for (const [index, name] of ["weights", ...slots].entries()) give(g, `${name}_out`, joined[index]);
  for (const { name } of momentInputs) give(g, `${name}_out`, results.state[vectors.length]);
  give(g, "losses", results.scans[0]);
  give(g, "counts", results.scans[1]);
  for (const node of g.graph.node) for (const { g: body } of node.attribute) if (body) prune(body);
  prune(g.graph);
  const evaluation = lossGraph(spec, objective, parameters, moments);
  return { model: g.model, evaluation, parameters, moments, slots, noiseLength: mode.noiseLength };
}

const bug = (detail: string): TidegateError => new TidegateError("BUG", { detail });

function give(g: GraphBuilder, name: string, value: Value | undefined): void {
  if (!value) throw bug(`the training graph gives no ${name}`);
  g.output(name, value);
}

/** Cuts a flat vector into its pieces. */
const apart = (g: GraphBuilder, vector: Value, pieces: readonly FlatParameters[]): Value[] =>
  pieces.length === 1
    ? [vector]
    : g
        .split(
          vector,
          pieces.map(({ length }) => length),
          pieces.length,
        )
        .map((part, place) => g.know(part, { type: "float32", shape: [pieces[place]?.length ?? null] }));

/** Puts the pieces of a flat vector side by side. */
const together = (g: GraphBuilder, parts: readonly Value[]): Value | undefined =>
  parts.length === 1 ? parts[0] : g.concat(parts, 0);

/** The pieces of each of the flat vectors that the state begins with. */
const vectorsOf = (state: readonly Value[], { length }: readonly FlatParameters[], count: number): Value[][] =>
  Array.from({ length: count }, (_, vector) => state.slice(vector * length, (vector + 1) * length));

/** The gradient of each piece, held to the base and all together shortened as asked for. */
function gradientOf(
  g: GraphBuilder,
  loss: Value,
  cut: ReadonlyMap<string, Value>,
  pieces: readonly FlatParameters[],
  { proximal, clipNorm }: TrainingSpec,
  { current, base }: { current: readonly Value[]; base: readonly Value[] | undefined },
): Value[] {
  const each = backward(g, loss, [...cut.values()]);
  const held = pieces.map((piece, place) => {
    const own = piece.join(g, each.splice(0, piece.slices.length));
    const [now, then] = [current[place], base?.[place]];
    return now && then && proximal !== undefined ? g.add(own, g.mul(g.sub(now, then), proximal)) : own;
  });
  if (clipNorm === undefined) return held;
  const squares = held.map((part) => g.sum(g.square(part)));
  const norm = g.sqrt(g.op("Sum", squares));
  const factor = g.min(g.div(clipNorm, g.max(norm, 1e-12)), 1);
  return held.map((part) => g.mul(part, factor));
}

/** The values that batch normalisation's moments become; one that no node wrote stays. */
const followed = (mode: TrainingMode, moments: FlatParameters, values: ReadonlyMap<string, Value>): Value[] =>
  moments.slices.map(({ name }) => mode.followed.get(name) ?? need(values, name));

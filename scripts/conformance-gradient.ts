import { clone } from "@bufbuild/protobuf";
import { backward } from "../src/autodiff/backward.ts";
import { reasonOf, TidegateError } from "../src/base/errors.ts";
import { type Random, seededRandom } from "../src/base/random.ts";
import { sizeOf, type Tensor, tensor } from "../src/base/tensor.ts";
import { loadSession, type Session } from "../src/drivers/onnxruntime.ts";
import { GraphBuilder } from "../src/onnx/graph-builder.ts";
import { prune } from "../src/onnx/graph-walk.ts";
import { encodeModel } from "../src/onnx/model-file.ts";
import { type ModelProto, ModelProtoSchema } from "../src/onnx/onnx_pb.ts";
import { declareShapes, learnShapes } from "../src/onnx/shapes.ts";

/** What became of a model's gradient. A text says why not; undefined: it has no real input, or no real result. */
export type GradientReport = { readonly gradient?: true | "in part" | string; readonly verified?: true | string };

type Real = Tensor<"float32"> | Tensor<"float64">;
type Feeds = Readonly<Record<string, Tensor>>;

/** Largest difference between slope and differences, over the gradient's norm. */
const tolerance = 0.01;

/** Of a model whose test data give infinity or no number. */
export const noNumbers = "its results are no finite numbers";

const isReal = (value: Tensor): value is Real => value.type === "float32" || value.type === "float64";

/**
 * Builds the gradient of a weighted sum of a model's results with respect to its real inputs, and compares its slope
 * along random directions with central differences of the model itself.
 *
 * The check is coarse, as the differences are taken in float32: 1 % of the gradient's norm. It stands at a point a little
 * beside the test data, which like to lie on kinks. Exact checks of every rule are in test/unit/autodiff.
 *
 * @param model  lifted
 * @param feeds  its test data, by input
 */
export async function checkGradient(model: ModelProto, feeds: Feeds): Promise<GradientReport> {
  const forward = await loadSession(encodeModel(model), { logSeverity: 4 });
  try {
    const at = await beside(forward, feeds);
    const wanted = Object.entries(at).flatMap(([name, value]) =>
      isReal(value) && value.data.length > 0 ? [name] : [],
    );
    const results = Object.entries(await forward.run(at)).filter(([, value]) => isReal(value) && value.data.length > 0);
    if (wanted.length === 0 || results.length === 0) return {};
    const random = seededRandom(5);
    const weights = new Map(results.map(([name, { dims }]) => [name, filled(dims, () => random() * 2 - 1)]));
    // Where something cannot be differentiated: the first result alone, then with respect to the first input alone.
    const first = results.slice(0, 1).map(([name]) => [name, weights.get(name) ?? new Float64Array()] as const);
    const attempts = [
      { of: weights, by: wanted },
      { of: new Map(first), by: wanted },
      { of: new Map(first), by: wanted.slice(0, 1) },
    ];
    let found: Found | string = "nothing was tried";
    for (const attempt of attempts) {
      const gradients = await gradientsOf(model, at, attempt.by, attempt.of, new Map(results));
      found =
        typeof gradients === "string"
          ? typeof found === "string" && attempt !== attempts[0]
            ? found
            : gradients
          : { ...attempt, gradients };
      if (typeof found !== "string") break;
    }
    if (typeof found === "string") return { gradient: found };
    const { of, by, gradients } = found;
    const gradient = of === weights && by === wanted ? true : "in part";
    const loss = async (point: Feeds): Promise<number> => weightedSum(await forward.run(point), of);
    if (!Number.isFinite(await loss(at))) return { gradient, verified: noNumbers };
    const faults: string[] = [];
    for (const name of by) {
      const error = await slopeError(loss, at, name, gradients[name], random);
      if (!(error <= tolerance)) faults.push(`${name}: off by ${error.toPrecision(2)} of its norm`);
    }
    return { gradient, verified: faults.length === 0 || faults.join(", ") };
  } finally {
    await forward.release();
  }
}

const filled = (dims: readonly number[], draw: () => number): Float64Array =>
  Float64Array.from({ length: sizeOf(dims) }, draw);

type Found = {
  readonly of: ReadonlyMap<string, Float64Array>;
  readonly by: readonly string[];
  readonly gradients: Record<string, Tensor>;
};

/** A point near the test data where the model gives numbers. */
async function beside(forward: Session, feeds: Feeds): Promise<Feeds> {
  const random = seededRandom(9);
  const moved = mapReal(feeds, (value) => value * (1 + 0.02 * random()) + 0.02 * random());
  const results = Object.values(await forward.run(moved).catch(() => ({}) as Record<string, Tensor>));
  const isSound = results.length > 0 && results.every((value) => !isReal(value) || value.data.every(Number.isFinite));
  return isSound ? moved : feeds;
}

function mapReal(feeds: Feeds, change: (value: number, index: number, name: string) => number): Feeds {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, value]) => {
      if (!isReal(value)) return [name, value];
      const data = value.data.map((each: number, index: number) => change(each, index, name));
      return [name, tensor(value.type, value.dims, data as never)];
    }),
  );
}

/** The gradients by input, or why there are none. */
async function gradientsOf(
  original: ModelProto,
  at: Feeds,
  wanted: readonly string[],
  weights: ReadonlyMap<string, Float64Array>,
  results: ReadonlyMap<string, Tensor>,
): Promise<Record<string, Tensor> | string> {
  try {
    const model = clone(ModelProtoSchema, original);
    const sessions = new Map<Uint8Array, Session>();
    const runOnce = async (bytes: Uint8Array, given: Feeds): Promise<Record<string, Tensor>> => {
      const session = sessions.get(bytes) ?? (await loadSession(bytes, { logSeverity: 4 }));
      sessions.set(bytes, session);
      return session.run(given);
    };
    declareShapes(model, await learnShapes(model, runOnce, { sample: (name) => at[name] }));
    for (const each of sessions.values()) await each.release();
    const g = GraphBuilder.from(model);
    const parts = [...weights].map(([name, data]) => {
      const y = g.value(name);
      const { type, dims } = results.get(name) ?? { type: "float32", dims: [] };
      const numbers = type === "float64" ? data : Float32Array.from(data);
      return g.sum(g.cast(g.mul(y, g.constant(tensor(type as "float32", dims, numbers as never))), "float64"));
    });
    const [loss] = parts.length === 1 ? parts : [g.op("Sum", parts)];
    if (!loss) return "it has no result";
    g.graph.output = [];
    const found = backward(
      g,
      loss,
      wanted.map((name) => g.value(name)),
    );
    const names = found.map((gradient, index) => g.output(g.unusedName(`gradient_${index}`), gradient).name);
    prune(g.graph);
    const session = await loadSession(encodeModel(g.model), { logSeverity: 4 });
    const given = await session.run(at);
    await session.release();
    return Object.fromEntries(
      wanted.map((name, index) => [name, given[names[index] ?? ""] ?? tensor("float32", [0], new Float32Array())]),
    );
  } catch (fault) {
    if (fault instanceof TidegateError && fault.code === "MODEL_UNTRAINABLE") {
      return `${String(fault.facts.op)}: ${String(fault.facts.reason)}`;
    }
    return reasonOf(fault);
  }
}

function weightedSum(results: Feeds, weights: ReadonlyMap<string, Float64Array>): number {
  let sum = 0;
  for (const [name, weight] of weights) {
    const value = results[name];
    if (value && isReal(value))
      for (const [index, factor] of weight.entries()) sum += factor * (value.data[index] ?? Number.NaN);
  }
  return sum;
}

/** How far the slope along a random direction is from central differences at the best of some steps, over the gradient's norm. */
async function slopeError(
  loss: (point: Feeds) => Promise<number>,
  at: Feeds,
  name: string,
  gradient: Tensor | undefined,
  random: Random,
): Promise<number> {
  const input = at[name];
  if (!gradient || !input || String(gradient.dims) !== String(input.dims)) return Number.NaN;
  // Of large inputs a part: the fewer are moved, the fewer kinks are crossed.
  const share = 512 / sizeOf(input.dims);
  const direction = filled(input.dims, () => (random() >= share ? 0 : random() < 0.5 ? -1 : 1));
  const slopes = Array.from<unknown, number>(gradient.data, Number).map(
    (slope, index) => slope * (direction[index] ?? 0),
  );
  const along = slopes.reduce((sum, slope) => sum + slope, 0);
  const norm = Math.sqrt(slopes.reduce((sum, slope) => sum + slope * slope, 0));
  const scale = Math.max(norm, 1e-3 * Math.abs(await loss(at)), 1e-6);
  let best = Number.POSITIVE_INFINITY;
  for (const step of [1e-2, 3e-2, 2e-3, 5e-4, 1e-1, 1e-4]) {
    const moved = (by: number): Promise<number> =>
      loss(mapReal(at, (value, index, each) => (each === name ? value + by * (direction[index] ?? 0) : value)));
    const difference = ((await moved(step)) - (await moved(-step))) / (2 * step);
    const error = Math.abs(difference - along) / scale;
    if (error < best) best = error;
    if (best <= tolerance) break;
  }
  return best;
}

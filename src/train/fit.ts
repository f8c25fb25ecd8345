import { FlatParameters } from "../autodiff/flat-parameters.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import type { DataSet } from "./data-set.ts";
import { readTargets } from "./example-rows.ts";
import { ModelRuns, type RunOptions } from "./model-runs.ts";

type Fit = Card["fit"][number];

/**
 * Sets the statistics that the card lists, in place: each is taken of a value of the graph over the training slice,
 * with all axes reduced that the stored tensor does not have. They are set in order, so that one may be taken of a value that
 * an earlier one has scaled. A deviation of 0 becomes 1: what never varies is not blown up.
 *
 * @param examples  the training slice, and nothing else
 * @throws TidegateError DATA_UNUSABLE, MODEL_UNTRAINABLE when the model has no such tensor
 */
export async function fitStatistics(
  model: ModelProto,
  card: Card,
  data: DataSet,
  examples: Int32Array,
  options?: RunOptions,
): Promise<void> {
  for (const entries of runsOfEqual(card.fit)) {
    const targets = entries.map((entry) => {
      const parameters = FlatParameters.of(model, [entry.tensor]);
      return { ...entry, parameters, moments: new Moments(parameters.slices[0]?.dims ?? []) };
    });
    const { of = "" } = entries[0] ?? {};
    for await (const value of valuesOver(model, card, of, data, examples, options))
      for (const { moments } of targets) moments.add(value.data as ArrayLike<number>, value.dims, of);
    for (const { parameters, moments, statistic } of targets) parameters.unpack(moments.statistic(statistic), model);
  }
}

/** A value of the graph over examples, or what they should have given: `target`. */
export async function* valuesOver(
  model: ModelProto,
  card: Card,
  of: string,
  data: DataSet,
  examples: Int32Array,
  options?: RunOptions,
): AsyncGenerator<Tensor> {
  if (of === "target") {
    const told = readTargets(data, examples);
    if (!told) throw unusable("the examples have no target");
    yield told;
    return;
  }
  const runs = await ModelRuns.open(model, card, [of], options);
  try {
    for await (const { values } of runs.over(data, examples)) if (values[of]) yield values[of];
  } finally {
    await runs.release();
  }
}

/** Neighbours that are taken of the same value: one pass serves them. */
function runsOfEqual(fit: readonly Fit[]): Fit[][] {
  const runs: Fit[][] = [];
  for (const entry of fit) {
    const last = runs.at(-1);
    if (last?.[0]?.of === entry.of) last.push(entry);
    else runs.push([entry]);
  }
  return runs;
}

/** Mean, deviation and extremes over a value's axes, for each place of a tensor that would be broadcast to it. */
class Moments {
  readonly #dims: readonly number[];
  readonly #count: Float64Array;
  readonly #mean: Float64Array;
  readonly #squares: Float64Array;
  readonly #min: Float64Array;
  readonly #max: Float64Array;

  constructor(dims: readonly number[]) {
    const size = sizeOf(dims);
    this.#dims = dims;
    this.#count = new Float64Array(size);
    this.#mean = new Float64Array(size);
    this.#squares = new Float64Array(size);
    this.#min = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
    this.#max = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  }

  add(values: ArrayLike<number>, dims: readonly number[], name: string): void {
    const places = placesOf(this.#dims, dims, name);
    for (let i = 0; i < values.length; i++) {
      const value = Number(values[i]);
      if (!Number.isFinite(value)) throw unusable(`value ${name} is not a finite number in the training data`);
      const at = places[i % places.length] as number;
      const count = (this.#count[at] as number) + 1;
      const before = this.#mean[at] as number;
      const mean = before + (value - before) / count;
      this.#count[at] = count;
      this.#mean[at] = mean;
      this.#squares[at] = (this.#squares[at] as number) + (value - before) * (value - mean);
      this.#min[at] = Math.min(this.#min[at] as number, value);
      this.#max[at] = Math.max(this.#max[at] as number, value);
    }
  }

  statistic(kind: Fit["statistic"]): Float32Array {
    if (this.#count.some((count) => count === 0)) throw unusable("there is no example to take statistics of");
    if (kind !== "std") return Float32Array.from({ mean: this.#mean, min: this.#min, max: this.#max }[kind]);
    // In float32, since that is what will divide.
    return Float32Array.from(this.#squares, (sum, i) => Math.fround(Math.sqrt(sum / (this.#count[i] as number))) || 1);
  }
}

/** For each place of one example of the value, the place of the tensor: axes are matched from the last. */
function placesOf(tensor: readonly number[], value: readonly number[], name: string): Int32Array {
  const inner = value.slice(1);
  const surplus = tensor.length - inner.length;
  const fits =
    (surplus <= 0 || tensor.slice(0, surplus).every((dim) => dim === 1)) &&
    tensor
      .slice(Math.max(0, surplus))
      .every((dim, i) => dim === 1 || dim === inner[inner.length - Math.min(tensor.length, inner.length) + i]);
  if (!fits)
    throw unusable(`a tensor of shape [${tensor.join(", ")}] is no statistic of ${name}, [${value.join(", ")}]`);
  return Int32Array.from({ length: sizeOf(inner) }, (_, flat) => {
    let rest = flat;
    let place = 0;
    let stride = 1;
    for (let axis = 1; axis <= inner.length; axis++) {
      const dim = inner[inner.length - axis] as number;
      const index = rest % dim;
      rest = (rest - index) / dim;
      const own = tensor[tensor.length - axis] ?? 1;
      if (own !== 1) place += index * stride;
      stride *= own;
    }
    return place;
  });
}

const unusable = (reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what: "the model",
    reason,
    remedy: "Mend the card's `fit`: a stored tensor, and the value of the graph that it is a statistic of.",
  });

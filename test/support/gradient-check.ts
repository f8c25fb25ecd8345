import { expect, test } from "vitest";
import { backward } from "../../src/autodiff/backward.ts";
import { type Random, seededRandom, shuffle } from "../../src/base/random.ts";
import { type Tensor, tensor } from "../../src/base/tensor.ts";
import { GraphBuilder, type Value } from "../../src/onnx/graph-builder.ts";
import { prune } from "../../src/onnx/graph-walk.ts";
import type { Dim, Shape } from "../../src/onnx/value-info.ts";
import type { Argument, GradientCase } from "./gradient-cases.ts";
import { NdArray, product } from "./naive/array.ts";
import { naive } from "./naive/operators.ts";
import { numbers, runModel } from "./run-model.ts";

export type CheckOptions = {
  /** Groups of inputs that the operator is linear in together, the others held: the adjoint test is run on each. */
  readonly linear?: readonly (readonly number[])[];
  /** Whether onnxruntime has the kernels, of the operator and of what its gradient is made of, in float64. Default true. */
  readonly float64?: boolean;
  /** Whether the rule needs to know the rank, or all sizes: without them it must refuse. Default: neither. */
  readonly needs?: "rank" | "sizes";
  /** Largest error of float32, relative to the largest number of a gradient. Default 5e-6. */
  readonly tolerance?: number;
};

type Real = "float32" | "float64";

/** How much of the shapes is known when the gradient is built. */
const knowledges = ["sizes", "symbols", "nothing"] as const;
type KnowledgeOfShapes = (typeof knowledges)[number];

/** A case with its numbers: float32 and float64 are fed the same. */
export type Drawn = Omit<GradientCase, "weights"> & {
  readonly op: string;
  readonly arrays: readonly (NdArray | undefined)[];
  readonly outputsThere: readonly NdArray[];
  /** The loss is the sum of the outputs times these. */
  readonly weights: readonly NdArray[];
  /** By input; undefined where none is wanted. */
  readonly expected: readonly (NdArray | undefined)[];
};

/**
 * Tests the rule of an operator on at least ten configurations:
 *
 * - what the operator computes, against its row in naive/operators.ts;
 * - the gradient against central differences of that row, whose own error is below 1e-9: in float32 with all sizes
 *   known, with symbols for all, and with nothing known; in float64 (where onnxruntime can) with all sizes known;
 * - where it is linear: <f(v), d> = <v, f*(d)>, which needs no second implementation.
 */
export function checkGradients(op: string, cases: readonly GradientCase[], options: CheckOptions = {}): void {
  const { linear = [], float64 = true, tolerance = 5e-6 } = options;
  test(`${op}: ${cases.length} configurations`, async () => {
    expect(cases.length).toBeGreaterThanOrEqual(10);
    const drawn = cases.map((each, index) => draw(op, each, index));
    const single = await resultsOf(drawn, "float32", options, knowledges);
    for (const { label, actual, expected } of single) expect(errorOf(actual, expected), label).toBeLessThan(tolerance);
    checkAdjoint(drawn, single, linear);
    const double = float64 ? await resultsOf(drawn, "float64", options, ["sizes"]) : [];
    for (const { label, actual, expected } of double) expect(errorOf(actual, expected), label).toBeLessThan(1e-7);
  });
}

/** Some cases share a session, so that not each costs one: not all, since the time to load grows faster than a model. */
export async function resultsOf(
  drawn: readonly Drawn[],
  type: Real,
  options: CheckOptions,
  how: readonly KnowledgeOfShapes[],
): Promise<Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < drawn.length; from += 6) {
    const model = new GradientModel(type, options);
    for (const [index, each] of drawn.slice(from, from + 6).entries())
      for (const known of how) model.add(each, from + index, known);
    results.push(...(await model.run()));
  }
  return results;
}

/** <f(v), d> = <v, f*(d)> to 1e-6 of the product of the norms. */
function checkAdjoint(
  drawn: readonly Drawn[],
  results: readonly Result[],
  linear: readonly (readonly number[])[],
): void {
  const byLabel = new Map(results.map(({ label, actual }) => [label, actual]));
  for (const [index, { arrays, weights, expected }] of drawn.entries()) {
    const of = (part: string): readonly number[] => byLabel.get(`case ${index} sizes ${part}`) ?? [];
    const forward = weights.map((_, output) => of(`output ${output}`));
    const left = sum(forward.map((y, output) => dot(y, weights[output]?.data ?? [])));
    const scale = Math.sqrt(sum(forward.map((y) => dot(y, y))) * sum(weights.map(({ data }) => dot(data, data))));
    for (const group of linear) {
      const there = group.filter((place) => arrays[place]);
      if (!there.every((place) => expected[place])) continue;
      const right = sum(there.map((place) => dot(of(`input ${place}`), arrays[place]?.data ?? [])));
      expect(Math.abs(left - right), `adjoint of case ${index}`).toBeLessThanOrEqual(1e-6 * scale);
    }
  }
}

const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  sum(Array.from(a, (value, index) => value * (b[index] ?? Number.NaN)));

type Result = { readonly label: string; readonly actual: readonly number[]; readonly expected: readonly number[] };

/** Many cases in one model, so that one session runs them all. */
class GradientModel {
  readonly #g = new GraphBuilder();
  readonly #type: Real;
  readonly #options: CheckOptions;
  readonly #feeds: Record<string, Tensor> = {};
  readonly #expected = new Map<string, NdArray>();

  constructor(type: Real, options: CheckOptions) {
    this.#type = type;
    this.#options = options;
  }

  add(each: Drawn, index: number, known: KnowledgeOfShapes): void {
    const { needs } = this.#options;
    const isRefused = known === "nothing" ? needs !== undefined : known === "symbols" && needs === "sizes";
    const write = (): void => this.#write(each, index, known);
    if (isRefused) expect(write).toThrow(expect.objectContaining({ code: "MODEL_UNTRAINABLE" }));
    else write();
  }

  #write(each: Drawn, index: number, known: KnowledgeOfShapes): void {
    const g = this.#g;
    const label = `case ${index} ${known}`;
    const inputs = each.inputs.map((argument, place) =>
      argument ? this.#input(`${label} x${place}`, argument, each.arrays[place], known) : null,
    );
    const count = each.outputs ?? each.outputsThere.length;
    const outputs = g.ops(each.op, count, inputs, { ...each.attributes });
    const parts = each.outputsThere.map((there, place) => {
      const output = outputs[place];
      if (!output) throw new Error(`${each.op} has no output ${place}`);
      g.know(output, { type: this.#type, shape: shapeOf(there.dims, known) });
      const weights = this.#feed(`${label} d${place}`, this.#type, each.weights[place] ?? there, known);
      return g.sum(g.mul(output, weights));
    });
    const [loss] = parts.length === 1 ? parts : [g.op("Sum", parts)];
    const wanted = each.expected.flatMap((gradient, place) => (gradient ? [place] : []));
    const at = wanted.flatMap((place) => inputs[place] ?? []);
    const gradients = loss ? backward(g, loss, at) : [];
    for (const [place, output] of outputs.slice(0, parts.length).entries())
      this.#give(`${label} output ${place}`, output, each.outputsThere[place]);
    for (const [nth, place] of wanted.entries())
      this.#give(`${label} input ${place}`, gradients[nth], each.expected[place]);
  }

  #give(name: string, value: Value | undefined, expected: NdArray | undefined): void {
    if (!value || !expected) throw new Error(`no ${name}`);
    this.#expected.set(this.#g.output(name, value).name, expected);
  }

  #input(name: string, argument: Argument, array: NdArray | undefined, known: KnowledgeOfShapes): Value {
    if (!array) throw new Error(`no numbers for ${name}`);
    const type = argument.kind === "int64" || argument.kind === "bool" ? argument.kind : this.#type;
    return argument.kind !== "drawn" && !argument.isFed
      ? this.#g.initializer(name, tensorOf(type, array))
      : this.#feed(name, type, array, known);
  }

  #feed(name: string, type: Real | "int64" | "bool", array: NdArray, known: KnowledgeOfShapes): Value {
    this.#feeds[name] = tensorOf(type, array);
    return this.#g.input(name, type, shapeOf(array.dims, known));
  }

  async run(): Promise<Result[]> {
    prune(this.#g.graph);
    const results = await runModel(this.#g.model, this.#feeds);
    return [...this.#expected].map(([label, expected]) => {
      const actual = results[label];
      expect(actual?.dims, label).toEqual(expected.dims);
      return { label, actual: numbers(actual), expected: Array.from(expected.data) };
    });
  }
}

/** Equal sizes get the same symbol. */
const shapeOf = (dims: readonly number[], known: KnowledgeOfShapes): Shape | undefined =>
  known === "nothing" ? undefined : dims.map((size): Dim => (known === "sizes" ? size : `n${size}`));

function tensorOf(type: Real | "int64" | "bool", { dims, data }: NdArray): Tensor {
  switch (type) {
    case "int64":
      return tensor(type, dims, BigInt64Array.from(data, BigInt));
    case "bool":
      return tensor(type, dims, Uint8Array.from(data));
    case "float32":
      return tensor(type, dims, Float32Array.from(data));
    case "float64":
      return tensor(type, dims, Float64Array.from(data));
  }
}

/** Largest difference, relative to the largest number. */
export function errorOf(actual: readonly number[], expected: readonly number[]): number {
  const off = expected.map((value, index) => Math.abs(value - (actual[index] ?? Number.NaN)));
  const largest = Math.max(0, ...expected.map(Math.abs));
  const worst = off.some(Number.isNaN) ? Number.NaN : Math.max(0, ...off);
  return largest === 0 ? worst : worst / largest;
}

/** Fills in the numbers of a case, and works out its gradient by central differences. */
export function draw(op: string, each: GradientCase, seed: number): Drawn {
  const random = seededRandom(1000 + seed);
  const forward = naive[op];
  if (!forward) throw new Error(`test/support/naive has no row for ${op}`);
  const attributes = each.attributes ?? {};
  const arrays = each.inputs.map((argument, place) => argument && numbersFor(argument, place, random)).map(orNothing);
  const outputsThere = forward(arrays, attributes).slice(0, each.outputs);
  const weights = outputsThere.map(({ dims }, place) => {
    const wanted = each.weights?.[place];
    return wanted ? new NdArray(dims, wanted) : NdArray.from(dims, () => Math.fround(random() * 2 - 1));
  });
  const loss = (inputs: readonly (NdArray | undefined)[]): number =>
    sum(weights.map(({ data }, place) => dot(data, forward(inputs, attributes)[place]?.data ?? [])));
  const expected = each.inputs.map((argument, place) => {
    const array = arrays[place];
    const isWanted = argument?.kind === "drawn" || argument?.isWanted === true;
    if (!isWanted || !array) return undefined;
    return new NdArray(
      array.dims,
      Array.from(array.data, (_, element) => centralDifference((x) => loss(arrays.with(place, x)), array, element)),
    );
  });
  return { ...each, op, arrays, outputsThere, weights, expected };
}

const orNothing = <T>(value: T | null): T | undefined => value ?? undefined;

/** Fourth order: an error of about 1e-12 each from the step and from rounding. */
function centralDifference(f: (x: NdArray) => number, array: NdArray, element: number): number {
  const step = 5e-4;
  const moved = (by: number): number => {
    const data = array.data.slice();
    data[element] = (data[element] ?? Number.NaN) + by;
    return f(new NdArray(array.dims, data));
  };
  return (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step);
}

/**
 * Numbers on a lattice: those of one input are distinct (up to 128), none is within 1e-3 of 0, or of a number of another
 * input of that range: no difference is taken across a kink. All are float32 numbers.
 */
function numbersFor(argument: Argument, place: number, random: Random): NdArray {
  if (argument.kind !== "drawn") return new NdArray(argument.dims, argument.values);
  const { dims, from, to } = argument;
  const lattice = Array.from({ length: 128 }, (_, index) => index);
  shuffle(lattice, random);
  const number = (index: number): number => ((lattice[index % 128] ?? 0) + (1 + (place % 3)) / 4) / 128;
  return new NdArray(
    dims,
    Array.from({ length: product(dims) }, (_, index) => Math.fround(from + (to - from) * number(index))),
  );
}

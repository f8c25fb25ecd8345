import { describe, expect, test } from "vitest";
import { backward } from "../../../src/autodiff/backward.ts";
import { seededRandom } from "../../../src/base/random.ts";
import type { Tensor } from "../../../src/base/tensor.ts";
import { GraphBuilder, type Value } from "../../../src/onnx/graph-builder.ts";
import { type Matrix, naiveCells, type RecurrentOperands, runNaive } from "../../support/naive/recurrent.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";

type Cell = keyof typeof naiveCells;
type Sizes = { time: number; batch: number; inputs: number; hidden: number; directions: 1 | 2; direction: string };
type Operands = Record<"x" | "w" | "r" | "b" | "h" | "c", Tensor<"float32">>;

const gatesOf = { RNN: 1, LSTM: 4, GRU: 3, "GRU reset last": 3 } as const;
const names = ["x", "w", "r", "b", "h", "c"] as const;

function operandsOf(cell: Cell, { time, batch, inputs, hidden, directions }: Sizes, seed: number): Operands {
  const random = seededRandom(seed);
  const fill = (...dims: number[]) =>
    floats(
      dims,
      Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random() * 1.6 - 0.8),
    );
  const gates = gatesOf[cell] * hidden;
  return {
    x: fill(time, batch, inputs),
    w: fill(directions, gates, inputs),
    r: fill(directions, gates, hidden),
    b: fill(directions, 2 * gates),
    h: fill(directions, batch, hidden),
    c: fill(directions, batch, hidden),
  };
}

/** Nested lists of a tensor. */
function nested(values: readonly number[], dims: readonly number[]): unknown {
  const [size = 0, ...rest] = dims;
  if (dims.length <= 1) return values.slice(0, size);
  const step = rest.reduce((a, b) => a * b, 1);
  return Array.from({ length: size }, (_, i) => nested(values.slice(i * step, (i + 1) * step), rest));
}

/** Weights of the results in the loss: different for each, the same on both sides. */
const weight = (index: number): number => Math.sin(index * 0.7 + 1);
const weighted = (values: readonly number[]): number => values.reduce((sum, v, i) => sum + v * weight(i), 0);

/** The loss in plain float64: all results, each by its weight. */
function naiveLoss(cell: Cell, values: Record<string, readonly number[]>, tensors: Operands, sizes: Sizes): number {
  const of = (name: keyof Operands) => nested(values[name] ?? [], tensors[name].dims);
  const x = of("x") as Matrix[];
  const byDirection = Array.from({ length: sizes.directions }, (_, d) => {
    const isReverse = sizes.direction === "reverse" || d === 1;
    const pick = <T>(name: keyof Operands) => (of(name) as T[])[d] as T;
    const operands: RecurrentOperands = {
      x: isReverse ? x.toReversed() : x,
      w: pick("w"),
      r: pick("r"),
      b: pick("b"),
      h: pick("h"),
      c: pick("c"),
    };
    const { h, c } = runNaive(naiveCells[cell], operands);
    return { all: isReverse ? h.toReversed() : h, last: h.at(-1) ?? [], cell: c };
  });
  const y = x.flatMap((_, t) => byDirection.flatMap(({ all }) => (all[t] ?? []).flat()));
  const last = byDirection.flatMap(({ last }) => last.flat());
  const cells = byDirection.flatMap(({ cell }) => cell.flat());
  return weighted(y) + weighted(last) + (cell === "LSTM" ? weighted(cells) : 0);
}

/** The gradient of the same loss by the rule, in onnxruntime. */
async function gradients(cell: Cell, tensors: Operands, sizes: Sizes): Promise<Record<string, number[]>> {
  const g = new GraphBuilder();
  const used = names.filter((name) => cell === "LSTM" || name !== "c");
  const inputs = new Map(used.map((name) => [name, g.input(name, "float32", tensors[name].dims)]));
  const of = (name: (typeof names)[number]): Value | null => inputs.get(name) ?? null;
  const op = cell.split(" ")[0] ?? "";
  const outputs = g.ops(op, cell === "LSTM" ? 3 : 2, [of("x"), of("w"), of("r"), of("b"), null, of("h"), of("c")], {
    hidden_size: sizes.hidden,
    direction: sizes.direction,
    ...(cell === "GRU reset last" ? { linear_before_reset: 1 } : {}),
  });
  const { time, batch, hidden, directions } = sizes;
  const shapes = [
    [time, directions, batch, hidden],
    [directions, batch, hidden],
    [directions, batch, hidden],
  ];
  const parts = outputs.map((output, k) => {
    const dims = shapes[k] ?? [];
    g.know(output, { type: "float32", shape: dims });
    const length = dims.reduce((a, b) => a * b, 1);
    return g.sum(
      g.know(
        g.mul(
          output,
          floats(
            dims,
            Array.from({ length }, (_, i) => weight(i)),
          ),
        ),
        { shape: dims },
      ),
    );
  });
  const loss = parts.reduce((sum, part) => g.add(sum, part));
  for (const [index, gradient] of backward(g, g.know(loss, { shape: [] }), [...inputs.values()]).entries())
    g.output(`d_${used[index]}`, gradient);
  const results = await runModel(g.model, tensors);
  return Object.fromEntries(used.map((name) => [name, numbers(results[`d_${name}`])]));
}

/** Central differences of the naive loss. */
function differences(cell: Cell, tensors: Operands, sizes: Sizes, name: keyof Operands): number[] {
  const values = Object.fromEntries(names.map((each) => [each, numbers(tensors[each])]));
  const step = 1e-5;
  return (values[name] ?? []).map((value, i) => {
    const moved = (by: number) => ({ ...values, [name]: (values[name] ?? []).with(i, value + by) });
    return (naiveLoss(cell, moved(step), tensors, sizes) - naiveLoss(cell, moved(-step), tensors, sizes)) / (2 * step);
  });
}

const configurations: Sizes[] = [
  { time: 4, batch: 2, inputs: 3, hidden: 2, directions: 1, direction: "forward" },
  { time: 3, batch: 1, inputs: 1, hidden: 1, directions: 1, direction: "forward" },
  { time: 1, batch: 3, inputs: 2, hidden: 2, directions: 1, direction: "forward" },
  { time: 5, batch: 2, inputs: 2, hidden: 3, directions: 1, direction: "reverse" },
  { time: 2, batch: 2, inputs: 1, hidden: 2, directions: 1, direction: "reverse" },
  { time: 1, batch: 1, inputs: 3, hidden: 3, directions: 1, direction: "reverse" },
  { time: 4, batch: 2, inputs: 2, hidden: 2, directions: 2, direction: "bidirectional" },
  { time: 3, batch: 3, inputs: 1, hidden: 2, directions: 2, direction: "bidirectional" },
  { time: 6, batch: 1, inputs: 2, hidden: 1, directions: 2, direction: "bidirectional" },
  { time: 7, batch: 2, inputs: 1, hidden: 1, directions: 1, direction: "forward" },
];

describe("the gradient of a recurrent layer agrees with central differences in float64", () => {
  test.each(Object.keys(naiveCells) as Cell[])("%s", async (cell) => {
    for (const [seed, sizes] of configurations.entries()) {
      const tensors = operandsOf(cell, sizes, seed + 1);
      const found = await gradients(cell, tensors, sizes);
      for (const [name, actual] of Object.entries(found)) {
        const expected = differences(cell, tensors, sizes, name as keyof Operands);
        const norm = Math.hypot(...expected) || 1;
        const error = Math.hypot(...expected.map((value, i) => value - (actual[i] ?? Number.NaN))) / norm;
        expect([cell, sizes.direction, name, error < 2e-6 ? "agrees" : error]).toEqual([
          cell,
          sizes.direction,
          name,
          "agrees",
        ]);
      }
    }
  });
});

describe("a recurrent layer", () => {
  const layer = (attributes: Record<string, string | number | string[]>, lengths = false) => {
    const g = new GraphBuilder();
    const x = g.input("x", "float32", [3, 2, 2]);
    const w = g.input("w", "float32", [1, 8, 2]);
    const r = g.input("r", "float32", [1, 8, 2]);
    const sizes = lengths ? g.input("lengths", "int32", [2]) : null;
    const [, last] = g.ops("LSTM", ["", "last"], [x, w, r, null, sizes], { hidden_size: 2, ...attributes });
    if (!last) throw new Error("no last state");
    const loss = g.sum(g.know(last, { type: "float32", shape: [1, 2, 2] }));
    return { g, x, loss };
  };

  test("may give its last state alone", async () => {
    const { g, x, loss } = layer({});
    const [gradient] = backward(g, loss, [x]);
    if (gradient) g.output("dX", gradient);
    const random = seededRandom(3);
    const some = (...dims: number[]) =>
      floats(
        dims,
        Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => random() - 0.5),
      );
    const { dX } = await runModel(g.model, { x: some(3, 2, 2), w: some(1, 8, 2), r: some(1, 8, 2) });
    expect(dX?.dims).toEqual([3, 2, 2]);
    expect(numbers(dX).every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
  });

  test.each([
    ["clipping inside the cell", { clip: 3 }],
    ["coupling of input and forget gate", { input_forget: 1 }],
    ["the activation Sigmoid, Relu, Tanh", { activations: ["Sigmoid", "Relu", "Tanh"] }],
  ])("is refused with %s, by name", (what, attributes) => {
    const { g, x, loss } = layer(attributes);
    expect(() => backward(g, loss, [x])).toThrow(`(LSTM): ${what} has no gradient here`);
  });

  test("is refused with a length for each sequence", () => {
    const { g, x, loss } = layer({}, true);
    expect(() => backward(g, loss, [x])).toThrow("a length for each sequence has no gradient here");
  });
});

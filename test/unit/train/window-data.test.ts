import { describe, expect, it, test } from "vitest";
import type { Tensor } from "../../../src/base/tensor.ts";
import type { DataSet } from "../../../src/train/data-set.ts";
import { ValueTable } from "../../../src/train/time-table.ts";
import { windowCard, windowData } from "../../support/window-data.ts";

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Inputs and target of each example, as a model reads them. */
function seen(set: DataSet): { x: number[]; y: number[] }[] {
  const read = (rows: { data: string; span?: number; offset?: number }, first: number): number[] => {
    const { dims, data } = set.data[rows.data] as Tensor;
    const width = dims.slice(1).reduce((a, b) => a * b, 1);
    const from = (first + (rows.offset ?? 0)) * width;
    return Array.from(data.slice(from, from + (rows.span ?? 1) * width) as Iterable<number>, Number);
  };
  const [input] = Object.values(set.inputs);
  const { target } = set;
  return [...set.first].map((first) => ({
    x: input ? read(input, first) : [],
    y: target && "data" in target ? read(target, first) : [],
  }));
}

describe("windows of a stream become examples", () => {
  it("with the value that lies the horizon ahead as target", () => {
    const { data, push } = windowData(windowCard(3, { target: { kind: "next", horizon: 2 } }));
    push("one", upTo(7));
    const set = data.finish();
    expect(seen(set)).toEqual([
      { x: [0, 1, 2], y: [4] },
      { x: [1, 2, 3], y: [5] },
      { x: [2, 3, 4], y: [6] },
    ]);
    expect([...set.ts]).toEqual([2_000, 3_000, 4_000]);
    expect(set.reach).toBe(5);
    expect(set.data.windows?.dims).toEqual([7, 1]);
  });

  it("not across a gap, nor from one source to another", () => {
    const { data, push } = windowData(windowCard(2));
    push("one", [1, 2, 3]);
    push("two", [10, 20, 30]);
    push("one", [4, 5, 6], 100_000);
    expect(seen(data.finish())).toEqual([
      { x: [1, 2], y: [3] },
      { x: [4, 5], y: [6] },
      { x: [10, 20], y: [30] },
    ]);
  });

  it("that a late reading does not enter", () => {
    const { data, push } = windowData(windowCard(2));
    push("one", [1, 2]);
    push("one", [99], 500);
    push("one", [3], 2_000);
    expect(seen(data.finish())).toEqual([{ x: [1, 2], y: [3] }]);
    expect(data.dropped.late).toBe(1);
  });

  it("and what fills a gap of the grid is no target", () => {
    const { data, push } = windowData(windowCard(3), { config: { every: 1_000 } });
    push("one", [1, 2, 3]);
    push("one", [5, 6, 7], 4_000);
    // The cell of 3,000 is empty and repeats; the last cell stays open.
    expect(seen(data.finish())).toEqual([{ x: [3, 3, 5], y: [6] }]);
  });

  it("a model that takes them flat gets each for itself", () => {
    const card = windowCard(2, { inputs: [{ name: "window", dims: ["batch", 2] }] });
    const { data, push } = windowData(card);
    push("one", [1, 2, 3, 4]);
    const set = data.finish();
    expect(set.data.windows?.dims).toEqual([2, 2]);
    expect(seen(set)).toEqual([
      { x: [1, 2], y: [3] },
      { x: [2, 3], y: [4] },
    ]);
    expect([...set.place]).toEqual([0, 1]);
  });
});

describe("targets", () => {
  it("come from another field; a reading that lacks it still counts in windows", () => {
    const card = windowCard(2, { target: { kind: "field", field: "power" } });
    const { data, push } = windowData(card, { fields: ["a", "power"] });
    push("one", [
      [1, 10],
      [2, 20],
      [3, Number.NaN],
      [4, 40],
    ]);
    expect(seen(data.finish())).toEqual([
      { x: [1, 2], y: [20] },
      { x: [3, 4], y: [40] },
    ]);
  });

  const classes = (target: object = { kind: "label" }) =>
    windowCard(1, {
      task: "classification",
      target,
      labels: ["calm", "storm"],
      outputs: [{ name: "y", kind: "logits", dims: ["batch", 2] }],
      loss: { kind: "crossEntropy", output: "y" },
    });

  it("come from a label topic, by source and time within a bound", () => {
    const values = new ValueTable();
    values.add("one", 1_200, 1);
    values.add("one", 2_900, 0);
    values.add("two", 0, 1);
    const { data, push } = windowData(classes(), { labels: { values: values.series, boundMs: 300 } });
    push("one", [1, 2, 3, 4]);
    expect(seen(data.finish())).toEqual([
      { x: [2], y: [1] },
      { x: [4], y: [0] },
    ]);
  });

  it("come from operators' marks, by label", () => {
    const marks = [
      { stream: "s", source: "one", from: 0, to: 1_000, label: "calm" },
      { stream: "s", source: "one", from: 2_000, to: 2_500, label: "storm" },
      { stream: "other", source: "one", from: 3_000, to: 3_000, label: "storm" },
    ];
    const { data, push } = windowData(classes(), { marks });
    push("one", [1, 2, 3, 4]);
    const set = data.finish();
    expect(seen(set).map(({ y }) => y)).toEqual([[0], [0], [1]]);
    expect(set.data.targets?.type).toBe("int32");
  });

  test.each([
    ["a mark with a foreign label", () => build(classes(), [{ label: "hail" }]), /"hail", which is none/],
    ["marks of one class alone", () => build(classes(), [{ label: "calm" }]), /all 4 examples have label 0/],
    ["no marks at all", () => build(classes(), []), /no example/],
    ["a label out of range", () => field(5), /label 5 is out of range: the model has classes 0 to 1/],
    ["a label that is no whole number", () => field(0.5), /label 0.5 is out of range/],
  ])("%s is refused", (_what, attempt, message) => {
    expect(attempt).toThrow(message);
  });

  function build(card: ReturnType<typeof classes>, marks: { label: string }[]) {
    const all = marks.map(({ label }) => ({ stream: "s", source: "one", from: 0, to: 9_000, label }));
    const { data, push } = windowData(card, { marks: all });
    push("one", [1, 2, 3, 4]);
    return data.finish();
  }

  function field(label: number) {
    const { data, push } = windowData(classes({ kind: "label", field: "l" }), { fields: ["a", "l"] });
    push("one", [
      [1, 0],
      [2, label],
    ]);
    return data.finish();
  }
});

it("windows that touch an event are marked, with what they foretell", () => {
  const { data, push } = windowData(windowCard(2), { fields: ["a", "event"], eventField: "event" });
  push(
    "one",
    [0, 0, 0, 0, 1, 1, 0, 0, 0].map((event, i) => [i, event]),
  );
  const set = data.finish();
  expect([...set.marked]).toEqual([0, 0, 1, 1, 1, 1, 0]);
});

it("a stream that scales by running statistics is refused, unless it brings them", () => {
  expect(() => windowData(windowCard(2), { config: { normalize: "zscore" } })).toThrow(/running statistics/);
});

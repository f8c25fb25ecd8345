import { gzipSync } from "node:zlib";
import { describe, expect, it, test } from "vitest";
import { imageData, parseIdx } from "../../../src/train/idx-data.ts";
import { splitOf } from "../../../src/train/splits.ts";
import { type TableOptions, tableData } from "../../../src/train/table-data.ts";
import { sequenceData, textData } from "../../../src/train/text-data.ts";
import { numbers } from "../../support/run-model.ts";
import { windowCard } from "../../support/window-data.ts";

async function* lines(...values: Record<string, unknown>[]) {
  for (const [i, each] of values.entries()) yield { values: each, line: i + 2 };
}

const houses = windowCard(1, {
  task: "regression",
  fields: [{ name: "rooms" }, { name: "age" }],
  inputs: [{ name: "window", dims: ["batch", 2] }],
  target: { kind: "field", field: "price" },
});

const classes = windowCard(1, {
  task: "classification",
  outputs: [{ name: "y", kind: "logits", dims: ["batch", 2] }],
  labels: ["ham", "spam"],
  loss: { kind: "crossEntropy", output: "y" },
  target: { kind: "label" },
});

describe("lines of a file", () => {
  const read = (card: TableOptions["card"], ...rows: Record<string, unknown>[]) =>
    tableData(lines(...rows), { card, file: "houses.csv", seed: 1 });

  it("without time are independent examples, split by content", async () => {
    const rows = Array.from({ length: 100 }, (_, i) => ({ rooms: i, age: 2 * i, price: 10 * i }));
    const set = await read(houses, ...rows);
    expect(numbers(set.data.windows).slice(0, 4)).toEqual([0, 0, 1, 2]);
    expect(numbers(set.data.targets).slice(0, 3)).toEqual([0, 10, 20]);
    expect(set.data.targets?.dims).toEqual([100, 1]);
    expect(set.ts.every(Number.isNaN)).toBe(true);
    const { train, test } = splitOf(set, 7, { train: 0.8, validation: 0, calibration: 0, test: 0.2 });
    expect(train.length + test.length).toBe(100);
    // Not the last twenty.
    expect(Math.min(...test)).toBeLessThan(80);
  });

  it("with time are readings of their sources, in windows", async () => {
    const card = windowCard(2);
    const rows = [1, 2, 3, 4].flatMap((a) => [
      { at: `2026-01-01T00:00:0${a}Z`, where: "one", a },
      { at: `2026-01-01T00:00:0${a}Z`, where: "two", a: 10 * a },
    ]);
    const set = await tableData(lines(...rows), { card, file: "f", time: "at", source: "where", seed: 1 });
    expect([...set.source]).toEqual([0, 0, 1, 1]);
    expect(numbers(set.data.windows)).toEqual([1, 2, 3, 4, 10, 20, 30, 40]);
    expect(set.ts[0]).toBe(Date.UTC(2026, 0, 1, 0, 0, 2));
  });

  it("may name labels, and fields by path", async () => {
    const rows = [
      { v: { a: 1 }, label: "spam" },
      { v: { a: 2 }, label: 0 },
    ];
    const pick = (values: Record<string, unknown>, name: string) =>
      name === "a" ? (values.v as Record<string, unknown>)[name] : values[name];
    const set = await tableData(lines(...rows), { card: classes, file: "f", pick, seed: 1 });
    expect(numbers(set.data.windows)).toEqual([1, 2]);
    expect(numbers(set.data.targets)).toEqual([1, 0]);
    expect(set.data.targets).toMatchObject({ type: "int32", dims: [2] });
  });

  test.each([
    ["no lines", () => read(houses), /houses.csv cannot be trained on: it has no example/],
    [
      "a text where a number belongs",
      () => read(houses, { rooms: "six" }),
      /houses.csv, line 2: rooms is no number: "six"/,
    ],
    [
      "a missing field",
      () => read(houses, { rooms: 1, age: 1, price: 1 }, { rooms: 1, price: 2 }),
      /line 3: age is missing/,
    ],
    ["a missing target", () => read(houses, { rooms: 1, age: 1 }), /line 2: price is missing/],
    [
      "a label out of range",
      () => read(classes, { a: 1, label: 2 }),
      /line 2: label 2 is out of range: the model has classes 0 to 1/,
    ],
    [
      "a label of another name",
      () => read(classes, { a: 1, label: "eggs" }),
      /line 2: label "eggs" is none of the model's \(ham, spam\)/,
    ],
    [
      "one class alone",
      () => read(classes, { a: 1, label: "ham" }, { a: 2, label: "ham" }),
      /all 2 examples have label 0/,
    ],
    [
      "a time that is none",
      () => tableData(lines({ a: 1, at: "noon" }), { card: windowCard(1), file: "f", time: "at", seed: 1 }),
      /f, line 2: at is no time such as .*: "noon"/,
    ],
    ["a forecast without time", () => read(windowCard(1), { a: 1 }), /no time, and the model is to foretell/],
  ])("%s: a clear error", async (_what, attempt, message) => {
    await expect(attempt()).rejects.toThrow(message);
  });
});

describe("IDX files", () => {
  const idx = (code: number, dims: number[], body: number[]) =>
    Uint8Array.from([0, 0, code, dims.length, ...dims.flatMap((dim) => [0, 0, dim >> 8, dim & 255]), ...body]);
  const digits = windowCard(1, {
    task: "classification",
    fields: [],
    window: undefined,
    inputs: [{ name: "image", dims: ["batch", 1, 2, 2], from: "media" }],
    outputs: [{ name: "y", kind: "logits", dims: ["batch", 3] }],
    loss: { kind: "crossEntropy", output: "y" },
    target: { kind: "label" },
  });
  const set = (count: number, labels: number[], file = "train") => ({
    images: parseIdx(
      idx(
        8,
        [count, 2, 2],
        Array.from({ length: 4 * count }, (_, i) => i),
      ),
      file,
    ),
    labels: parseIdx(idx(8, [labels.length], labels), file),
    file,
  });

  it("are read in every element type, packed or not", () => {
    expect(parseIdx(idx(8, [2, 2], [1, 2, 3, 255]), "f")).toMatchObject({ type: "uint8", dims: [2, 2] });
    expect(numbers(parseIdx(gzipSync(idx(9, [2], [1, 255])), "f"))).toEqual([1, -1]);
    expect(numbers(parseIdx(idx(11, [1], [1, 2]), "f"))).toEqual([258]);
    expect(numbers(parseIdx(idx(12, [1], [0xff, 0xff, 0xff, 0xfe]), "f"))).toEqual([-2]);
    expect(numbers(parseIdx(idx(13, [1], [0x3f, 0xc0, 0, 0]), "f"))).toEqual([1.5]);
    expect(numbers(parseIdx(idx(14, [1], [0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), "f"))).toEqual([1.5]);
  });

  it("become images in their own type; the official test set stays the test set", () => {
    const data = imageData(
      digits,
      set(
        40,
        Array.from({ length: 40 }, (_, i) => i % 3),
      ),
      set(2, [1, 2], "t10k"),
    );
    expect(data.data.images).toMatchObject({ type: "uint8", dims: [42, 1, 2, 2] });
    expect(data.inputs.image).toEqual({ data: "images", type: "uint8", dims: [1, 2, 2] });
    const split = splitOf(data, 1, { train: 0.9, validation: 0.1, calibration: 0, test: 0 });
    expect([...split.test]).toEqual([40, 41]);
    expect(split.train.length + split.validation.length).toBe(40);
  });

  test.each([
    ["bytes that are no IDX", () => parseIdx(Uint8Array.of(1, 2, 3, 4, 5), "f"), /does not begin as an IDX file/],
    ["a file that is cut off", () => parseIdx(idx(8, [3], [1, 2]), "f"), /it has 2 bytes for \[3\] of uint8, not 3/],
    ["a packed file that is damaged", () => parseIdx(Uint8Array.of(0x1f, 0x8b, 1), "f"), /cannot be unpacked/],
    ["fewer labels than images", () => imageData(digits, set(2, [1])), /2 images and labels of shape \[1\]/],
    ["a label out of range", () => imageData(digits, set(2, [1, 3])), /image 1: label 3 is out of range/],
    ["one class alone", () => imageData(digits, set(2, [1, 1])), /all 2 examples have label 1/],
    ["images of another size", () => imageData(classes, set(2, [0, 1])), /images are \[2, 2\], the model takes 1/],
  ])("%s: a clear error", (_what, attempt, message) => {
    expect(attempt).toThrow(message);
  });
});

describe("texts", () => {
  const card = windowCard(1, {
    task: "classification",
    fields: [],
    window: undefined,
    inputs: [{ name: "codes", type: "int64", dims: ["batch", 3], from: "media" }],
    outputs: [{ name: "y", kind: "logits", dims: ["batch", 2] }],
    labels: ["ham", "spam"],
    loss: { kind: "crossEntropy", output: "y" },
    target: { kind: "label" },
  });
  const encode = (text: string) => [0, 1, 2].map((i) => text.charCodeAt(i) || 0);
  const read = (...rows: Record<string, unknown>[]) =>
    textData(lines(...rows), { card, file: "mails", text: "body", label: "label", time: "at", encode });

  it("come in order of time", async () => {
    const set = await read({ body: "bc", label: "spam", at: 2_000 }, { body: "a", label: "ham", at: 1_000 });
    expect(numbers(set.data.texts)).toEqual([97, 0, 0, 98, 99, 0]);
    expect(numbers(set.data.targets)).toEqual([0, 1]);
    expect([...set.ts]).toEqual([1_000, 2_000]);
  });

  it("that are empty, or of another label, are told with their line", async () => {
    await expect(read({ body: "", label: "ham", at: 1 })).rejects.toThrow(/mails, line 2: body is missing or empty/);
    await expect(read({ body: "a", label: "egg", at: 1 })).rejects.toThrow(/line 2: label "egg"/);
  });

  it("of a language model are pieces with the next tokens as target", () => {
    const language = windowCard(1, {
      task: "language",
      fields: [],
      window: undefined,
      inputs: [{ name: "codes", type: "int64", dims: ["batch", 3], from: "media" }],
      outputs: [{ name: "y", kind: "logits", dims: ["batch", 3, 5] }],
      loss: { kind: "crossEntropy", output: "y" },
      target: { kind: "label" },
    });
    const set = sequenceData(language, Int32Array.of(0, 1, 2, 3, 4, 0, 1, 2), "book");
    expect([...set.first]).toEqual([0, 3]);
    expect(set.target).toEqual({ data: "tokens", type: "int32", dims: [], span: 3, offset: 1 });
    expect(() => sequenceData(language, Int32Array.of(0, 1, 7, 0), "book")).toThrow(
      /token 7 at place 2 is out of range/,
    );
    expect(() => sequenceData(language, Int32Array.of(0, 1), "book")).toThrow(/no example/);
  });
});

import { describe, expect, test } from "vitest";
import { cardSchema } from "../../../src/inference/card.ts";
import { mediaReader } from "../../../src/inference/media-input.ts";
import { templateOptions, templates } from "../../../src/train/templates/template-table.ts";

const cardOf = (template: string, change: Record<string, unknown> = {}) =>
  cardSchema.parse({
    ...templates[template]?.make(templateOptions(template, { name: "m", image: { width: 3, height: 2 } })).card,
    ...change,
  });

describe("a payload becomes what the model takes", () => {
  test("an image: its pixels", () => {
    const read = mediaReader(cardOf("cnn2d"));
    expect(read(Uint8Array.of(1, 2, 3, 4, 5, 6))).toEqual({
      image: { type: "uint8", dims: [1, 2, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    });
    expect(() => read(Uint8Array.of(1, 2))).toThrow("image: expected 6 bytes (3 by 2 pixels), got 2 bytes");
  });

  test("a text: its words; bytes that are no text are refused", () => {
    const read = mediaReader(cardOf("text"));
    expect(read(Buffer.from("hello world")).words?.dims).toEqual([1, 2048]);
    expect(() => read(Uint8Array.of(0xff, 0xfe))).toThrow();
  });

  test("not where the card asks for what this version does not have", () => {
    const preprocess = cardOf("text").preprocess;
    expect(() => mediaReader(cardOf("text", { preprocess: { ...preprocess, version: 2 } }))).toThrow(
      /version 1, the model wants 2/,
    );
    expect(() => mediaReader(cardOf("text", { preprocess: { kind: "audio", version: 1 } }))).toThrow(
      /audio is not there yet/,
    );
    expect(() =>
      mediaReader(cardOf("text", { preprocess: { ...preprocess, options: { encoding: "hashed" } } })),
    ).toThrow(/options.buckets/);
    expect(() => mediaReader(cardOf("mlp"))).toThrow(/needs `preprocess`/);
  });
});

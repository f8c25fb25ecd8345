import { describe, expect, it } from "vitest";
import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { decode, refusal } from "./decode.ts";

const options = (more: Partial<CodecOptions> = {}): CodecOptions => ({
  codec: "float32",
  fields: { x: "x", y: "y" },
  ...more,
});

function floats(values: readonly number[], isLittle = true): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  values.forEach((value, i) => {
    view.setFloat32(i * 4, value, isLittle);
  });
  return new Uint8Array(view.buffer);
}

describe("float32 readings", () => {
  it.each(["little", "big"] as const)("are rows in %s endian", (endian) => {
    const payload = floats([1.5, -2.25, 3, 1e-3], endian === "little");
    expect(decode(payload, options({ endian })).rows).toEqual([
      [1.5, -2.25],
      [3, Math.fround(1e-3)],
    ]);
  });

  it("are little endian when nothing is said", () => {
    expect(decode(Uint8Array.of(0, 0, 0xc0, 0x3f), options({ fields: { x: "x" } })).rows).toEqual([[1.5]]);
  });

  it("may lie anywhere in a packet", () => {
    for (let offset = 0; offset < 5; offset++) {
      const packet = new Uint8Array(20);
      packet.set(floats([7, 8]), offset);
      expect(decode(packet.subarray(offset, offset + 8), options()).rows).toEqual([[7, 8]]);
      expect(packet.subarray(offset, offset + 8)).toEqual(floats([7, 8]));
    }
  });

  it.each<[string, Partial<CodecOptions>, number[], number[][]]>([
    ["columns by name", { fields: { b: "q" }, columns: ["p", "q", "r"] }, [1, 2, 3, 4, 5, 6], [[2], [5]]],
    ["columns by index", { fields: { b: "[2]" }, columns: ["p", "q", "r"] }, [1, 2, 3], [[3]]],
    ["indexes alone", { fields: { a: "[2]", b: "[0]" } }, [1, 2, 3], [[3, 1]]],
    [
      "one column twice",
      { fields: { a: "x", b: "x" } },
      [1, 2],
      [
        [1, 1],
        [2, 2],
      ],
    ],
    ["a map", { fields: { a: { path: "x", map: { "2": 20 } } } }, [1, 2], [[1], [20]]],
  ])("are found by %s", (_, more, values, rows) => {
    expect(decode(floats(values), options(more)).rows).toEqual(rows);
  });

  it("take NaN for a missing value", () => {
    const { rows, skipped, empty } = decode(floats([1, Number.NaN, Number.NaN, Number.NaN]), options());
    expect([rows, skipped, empty]).toEqual([[[1, Number.NaN]], 3, 1]);
  });

  it("are one kept payload where no fields are asked for", () => {
    expect(decode(floats([1, 2, 3]), { codec: "float32" }).rows).toEqual([[]]);
    expect(createDecoder({ codec: "float32" }).keepsPayload).toBe(true);
  });
});

describe("bad float32", () => {
  it.each<[string, Uint8Array, string]>([
    ["nothing", new Uint8Array(0), "PAYLOAD_MALFORMED"],
    ["half a number", new Uint8Array(10), "PAYLOAD_MALFORMED"],
    ["half a row", floats([1, 2, 3]), "PAYLOAD_MALFORMED"],
    ["infinity", floats([1, Number.POSITIVE_INFINITY]), "PAYLOAD_TYPE"],
    ["minus infinity", floats([Number.NEGATIVE_INFINITY, 1]), "PAYLOAD_TYPE"],
    ["too many readings", new Uint8Array(65_537 * 8), "PAYLOAD_TOO_LARGE"],
    ["10 MB", new Uint8Array(10_000_000), "PAYLOAD_TOO_LARGE"],
  ])("%s is refused", (_, payload, code) => {
    expect(refusal(payload, options())).toMatchObject({ code, kind: "reject" });
  });

  it.each<[string, Partial<CodecOptions>]>([
    ["a time", { timestamp: "x" }],
    ["a column that is not there", { columns: ["x"] }],
    ["an index that is not there", { fields: { a: "[3]" }, columns: ["x"] }],
    ["names and indexes", { fields: { a: "[0]", b: "y" } }],
  ])("a stream with %s is refused", (_, more) => {
    expect(() => createDecoder(options(more))).toThrow(expect.objectContaining({ code: "CODEC_INVALID" }));
  });
});

import { encode } from "cbor-x";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeCbor, encodeCbor } from "../../../src/wire/cbor.ts";

const limits = { maxDepth: 8, maxItems: 1_000 };
const decodeHex = (hex: string) => decodeCbor(new Uint8Array(Buffer.from(hex, "hex")), limits);

describe("plain CBOR", () => {
  it("comes back as it went", () => {
    const key = fc.string().filter((name) => name !== "__proto__");
    // The library writes -0 as 0.
    const number = fc.double({ noNaN: true }).map((value) => value + 0);
    const leaf = fc.oneof(fc.integer(), number, fc.string(), fc.boolean(), fc.constant(null));
    const value = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie("tree"), { maxLength: 4 }),
        fc.dictionary(key, tie("tree"), { maxKeys: 4, noNullPrototype: true }),
      ),
    })).tree;
    fc.assert(
      fc.property(fc.dictionary(key, value, { maxKeys: 5, noNullPrototype: true }), (map) => {
        expect(decodeCbor(encodeCbor(map), limits)).toEqual(map);
      }),
    );
  });

  it.each([
    ["nothing", ""],
    ["a tag (date)", "c11a514b67b0"],
    ["a bignum", "c249010000000000000000"],
    ["an array without an end", "9f0102ff"],
    ["a text without an end", "7f6161ff"],
    ["a reserved length", "1c"],
    ["undefined", "f7"],
    ["a break", "ff"],
    ["bytes left over", "0101"],
    ["a length beyond the end", "5affffffff00"],
    ["a length of 2^64 - 1", "9bffffffffffffffff"],
    ["a map that is cut off", "a26161"],
    ["a map with a number for a key", "a10102"],
    ["more depth than allowed", `${"81".repeat(9)}01`],
    ["endless depth", `${"81".repeat(100_000)}01`],
    ["more values than allowed", `9903e8${"00".repeat(1000)}`],
  ])("%s is refused", (_, hex) => {
    expect(() => decodeHex(hex)).toThrow(/^(it |a key|bytes are left)/);
  });

  it("never makes a prototype of a key", () => {
    const map = decodeHex(`a169${Buffer.from("__proto__").toString("hex")}a16161f5`) as object;
    expect(Object.getPrototypeOf(map)).toBe(Object.prototype);
    expect((map as { a?: unknown }).a).toBeUndefined();
  });

  it("what the library understands and we do not speak is refused", () => {
    for (const value of [new Set([1]), new Map([[1, 2]]), /x/, new Date(0), new Float32Array(3), 2n ** 70n]) {
      expect(() => decodeCbor(new Uint8Array(encode({ value })), limits)).toThrow();
    }
  });

  it("is quick to refuse whatever it is given", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeCbor(bytes, limits);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Error);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

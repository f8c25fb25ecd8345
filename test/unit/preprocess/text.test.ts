import { describe, expect, test } from "vitest";
import { characterIds, encodeText } from "../../../src/preprocess/text.ts";

const hashed = { encoding: "hashed", buckets: 512 } as const;
const numbers = (text: string, options: Parameters<typeof encodeText>[1]) =>
  Array.from<unknown, number>(encodeText(text, options).data, Number);

describe("a text as numbers", () => {
  test("counts words and pairs, whatever their case", () => {
    const once = numbers("Free money now", hashed);
    expect(once).toEqual(numbers("free  Money, now", hashed));
    expect(numbers("FREE money now", hashed)).not.toEqual(once);
    expect(numbers("call 555", hashed)).toEqual(numbers("call 123", hashed));
    expect(once.reduce((a, b) => a + b)).toBeCloseTo(6 * Math.log(2), 5);
    expect(numbers("now money free", hashed)).not.toEqual(once);
    expect(numbers("now money free", { ...hashed, pairs: false })).toEqual(
      numbers("free money now", { ...hashed, pairs: false }),
    );
  });

  test("is empty without words, and bounded however long it is", () => {
    expect(numbers("", hashed).every((count) => count === 0)).toBe(true);
    const long = "word ".repeat(1_000_000);
    expect(Math.max(...numbers(long, hashed))).toBeLessThan(Math.log(65_536));
  });

  test("as characters: the last ones, others as the alphabet's last", () => {
    expect([...characterIds("abzc", "abc?")]).toEqual([0, 1, 3, 2]);
    expect(numbers("xabc", { encoding: "characters", alphabet: "abc?", length: 3 })).toEqual([0, 1, 2]);
    expect(() => encodeText("ab", { encoding: "characters", alphabet: "abc?", length: 3 })).toThrow(/at least 3/);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseStrictJson } from "../../../src/crypto/strict-json.ts";

describe("strict JSON", () => {
  it.each([
    ['{"a":1,"a":2}', "stands twice"],
    ['{"a":1,"\\u0061":2}', "stands twice"],
    ['[{"b":{"x":"}","c":[1,{"d":1,"d":2}]}}]', "stands twice"],
    ['{"__proto__":1}', "cannot be used"],
    [`${"[".repeat(33)}${"]".repeat(33)}`, "nested"],
    [`${"[".repeat(200_000)}`, "nested"],
    ['{"a":1', "JSON"],
    ["", "JSON"],
  ])("refuses %.30s", (text, reason) => {
    expect(() => parseStrictJson(text)).toThrow(reason);
  });

  it("takes the same name in different objects, and as a value", () => {
    const text = '{"a":{"a":"a"},"b":[{"a":1},{"a":"\\"a\\":{"}],"c":"b"}';
    expect(parseStrictJson(text)).toEqual(JSON.parse(text));
  });

  it("reads whatever was written from a value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const text = JSON.stringify(value);
        if (text.includes('"__proto__"')) return;
        expect(JSON.stringify(parseStrictJson(text))).toBe(text);
      }),
      { numRuns: 500 },
    );
  });
});

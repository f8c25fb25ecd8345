import fc from "fast-check";
import { expect, it } from "vitest";
import type { Result } from "../../../src/base/result.ts";
import { renderResult } from "../../../src/gateway/result-text.ts";

const text = fc.string({ unit: "binary" });
const number = fc.oneof(fc.double(), fc.integer());
const name = text.filter((key) => key !== "__proto__");
const mark = fc.option(fc.constant(true as const), { nil: undefined });

it("is what JSON.stringify makes, whatever is in the result", () => {
  const sources = [{ mote: "m1" }, { 'odd "room"': "\u2028\n", mote: "1" }, {}];
  const result = fc.record({
    id: fc.stringMatching(/^[0-9a-f]{32}$/),
    stream: text,
    source: fc.constantFrom(...sources),
    ts: fc.integer(),
    model: text,
    version: fc.integer({ min: 1, max: 3 }),
    outputs: fc.dictionary(name, fc.oneof(number, fc.array(number, { maxLength: 4 }), text), { maxKeys: 4 }),
    score: fc.option(number),
    label: fc.option(text),
    verdict: fc.constantFrom("normal", "alarm", "unknown", null),
    provisional: fc.boolean(),
    latencyMs: number,
    repeated: mark,
    late: mark,
  });
  const property = fc.property(result, (value) => {
    expect(renderResult(value as Result)).toBe(JSON.stringify(value));
  });
  fc.assert(property, { numRuns: 500 });
});

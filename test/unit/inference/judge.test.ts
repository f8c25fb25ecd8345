import { describe, expect, test } from "vitest";
import { judgementNames, judgeOf } from "../../../src/inference/judge.ts";
import { parseCard } from "../../../src/inference/parse-card.ts";

const cardOf = (rest: string) =>
  parseCard(`
format: 1
name: model
version: 1
task: classification
inputs: [{ name: image, from: media, dims: [batch, 4] }]
${rest}
`);

const nan = Number.NaN;
const floats = (...values: number[]): Float32Array => Float32Array.from(values);

describe("a verdict by a limit", () => {
  const card = cardOf(`
outputs: [{ name: spread, kind: value, dims: [batch, 2] }, { name: score, kind: score, dims: [batch] }]
verdict: { output: spread, above: 0.5 }
`);

  test("is an alarm above it, normal on it, unknown when it is no number", () => {
    const outputs = { spread: floats(0.6, 0, 0.5, 9, nan, 9), score: floats(1, 2, nan) };
    const judge = judgeOf(card, outputs, { spread: 2, score: 1 });
    expect([0, 1, 2].map((row) => judgementNames[judge.judgement(row)])).toEqual(["alarm", "normal", "unknown"]);
  });

  test("leaves the score to the output of that kind", () => {
    const judge = judgeOf(card, { spread: floats(0, 0), score: floats(3) }, { spread: 2, score: 1 });
    expect(judge.score(0)).toBe(3);
    expect(judge.label(0)).toBe(-1);
  });

  test("of an output that is not there is unknown, not normal", () => {
    expect(judgementNames[judgeOf(card, {}, {}).judgement(0)]).toBe("unknown");
  });
});

describe("a verdict by labels", () => {
  test("takes the largest of the logits; none of them a number: unknown", () => {
    const card = cardOf(`
outputs: [{ name: logits, kind: logits, dims: [batch, 3] }]
labels: [calm, waves, storm]
verdict: { output: logits, labels: [waves, storm] }
`);
    const logits = floats(3, 1, 2, -9, -8, -7, nan, 1, nan, nan, nan, nan);
    const judge = judgeOf(card, { logits }, { logits: 3 });
    const rows = [0, 1, 2, 3];
    expect(rows.map((row) => judge.labels[judge.label(row)])).toEqual(["calm", "storm", "waves", undefined]);
    expect(rows.map((row) => judgementNames[judge.judgement(row)])).toEqual(["normal", "alarm", "alarm", "unknown"]);
    expect(judge.score(0)).toBeNaN();
  });

  test("takes a label output as the index itself, also where logits stand beside it", () => {
    const card = cardOf(`
outputs: [{ name: logits, kind: logits, dims: [batch, 2] }, { name: choice, kind: label, dims: [batch] }]
labels: [off, on]
verdict: { output: choice, labels: [on] }
`);
    const outputs = { logits: floats(9, 0, 9, 0, 9, 0), choice: floats(1, 0, 0.5) };
    const judge = judgeOf(card, outputs, { logits: 2, choice: 1 });
    expect([0, 1, 2].map((row) => judge.label(row))).toEqual([1, 0, -1]);
    expect([0, 1, 2].map((row) => judgementNames[judge.judgement(row)])).toEqual(["alarm", "normal", "unknown"]);
  });
});

test("a card without a verdict leaves it open", () => {
  const card = cardOf("outputs: [{ name: value, kind: value, dims: [batch] }]");
  expect(judgementNames[judgeOf(card, { value: floats(5) }, { value: 1 }).judgement(0)]).toBeNull();
});

import { expect, test } from "vitest";
import { bindStream } from "../../../src/inference/binding.ts";
import { parseCard } from "../../../src/inference/parse-card.ts";

const card = parseCard(`
format: 1
name: climate
version: 1
task: anomaly
fields: [{ name: humidity }, { name: temperature }]
period: 5s
window: { size: 16 }
inputs: [{ name: window, dims: [batch, 16, 2] }]
outputs: [{ name: score, kind: score, dims: [batch] }]
`);

test("a stream's fields are put in the order of the model's columns", () => {
  const fields = ["battery", "temperature", "humidity"];
  expect(bindStream(card, "env", fields)).toEqual(["humidity", "temperature"]);
  expect(bindStream(card, "env", fields, { size: 16, everyMs: 5_000 })).toEqual(["humidity", "temperature"]);
});

test("all contradictions are told at once, with the field that was probably meant", () => {
  const bind = () => bindStream(card, "env", ["temperatur", "pressure"], { size: 8, everyMs: 1_000 });
  expect(bind).toThrow(
    expect.objectContaining({
      code: "MODEL_UNBOUND",
      exit: 78,
      facts: expect.objectContaining({
        stream: "env",
        model: "climate",
        faults: [
          "the stream's window has 8 readings, the model's 16",
          "the stream has a reading every 1000 ms, the model wants one every 5000 ms",
          "the stream has no field humidity (it has temperatur, pressure)",
          "the stream has no field temperature (is it temperatur?)",
        ],
      }),
    }),
  );
});

test("a model without windows fits no stream of readings", () => {
  const media = parseCard(`
format: 1
name: digits
version: 1
task: classification
preprocess: { kind: image, version: 1 }
inputs: [{ name: image, from: media, dims: [batch, 1, 28, 28] }]
outputs: [{ name: logits, kind: logits, dims: [batch, 10] }]
`);
  expect(() => bindStream(media, "env", ["a"])).toThrow(/does not take windows/);
});

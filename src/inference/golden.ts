import { z } from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import type { Tensors } from "../drivers/onnxruntime.ts";
import type { Bundle } from "./bundle.ts";
import type { Card, CardOutput } from "./card.ts";
import { headBytes } from "./framing.ts";
import type { HostedModel } from "./hosted-model.ts";
import { judgementNames, judgeOf } from "./judge.ts";
import { mediaReader } from "./media-input.ts";
import type { ModelHost } from "./model-host.ts";

const numbers = z.union([z.number(), z.array(z.number())]);

/** One line of `golden.ndjson`: what goes in, and what must come out. */
const sampleSchema = z
  .strictObject({
    name: z.string().optional(),
    /** Raw payloads of one window, oldest first, as text. */
    payloads: z.array(z.string()).optional(),
    /** For a model of media: one payload, as text or in base64. */
    payload: z.string().optional(),
    payloadBase64: z.base64().optional(),
    /** For a model without windows: its inputs by name, one row each. */
    inputs: z.record(z.string(), z.array(z.number())).optional(),
    outputs: z.record(z.string(), numbers).default({}),
    label: z.string().nullable().optional(),
    verdict: z.enum(["normal", "alarm", "unknown"]).nullable().optional(),
  })
  .refine(
    ({ payloads, payload, payloadBase64, inputs }) =>
      [payloads, payload, payloadBase64, inputs].filter((given) => given !== undefined).length === 1,
    "one of payloads, payload, payloadBase64 and inputs",
  );

export type GoldenSample = z.output<typeof sampleSchema>;

/** Turns one raw payload into the values of the card's fields, in order. */
export type DecodePayload = (payload: string, fields: readonly string[]) => readonly number[];

export type GoldenReport = { readonly samples: number; readonly faults: readonly string[] };

type GoldenHost = Pick<ModelHost, "run" | "runTensors">;
type Outputs = Record<string, Float32Array>;

/** More faults than these say no more. */
const maxFaults = 10;

/**
 * Runs a loaded model's golden samples, from raw payload to verdict.
 * @param decode  how payloads are read. Default: JSON objects with the card's fields as keys
 * @returns how many samples there are, and a sentence for each result that is not as asked for (the first ten)
 */
export async function runGolden(
  model: HostedModel,
  host: GoldenHost,
  decode: DecodePayload = decodeJson,
): Promise<GoldenReport> {
  const { card, golden } = model.bundle;
  const lines = golden.split("\n").filter((line) => line.trim() !== "");
  const faults: string[] = [];
  for (const [index, line] of lines.entries()) {
    if (faults.length >= maxFaults) break;
    const where = `sample ${index + 1}`;
    try {
      const sample = parseSample(line);
      const outputs = await outputsOf(sample, model, host, decode);
      faults.push(...compare(sample, outputs, card).map((fault) => `${sample.name ?? where}: ${fault}`));
    } catch (thrown) {
      if (thrown instanceof TidegateError && ["STOPPED", "MODEL_DISABLED"].includes(thrown.code)) throw thrown;
      faults.push(`${where}: ${reasonOf(thrown)}`);
    }
  }
  return { samples: lines.length, faults: faults.slice(0, maxFaults) };
}

/**
 * A bundle's golden samples with what this model gives for their inputs: what a new version has to give from now on.
 * They go the way that the stream's windows go, from raw payload to verdict.
 *
 * @throws TidegateError GOLDEN_FAILED when a sample cannot be run
 */
export async function retellGolden(
  model: HostedModel,
  host: GoldenHost,
  decode: DecodePayload = decodeJson,
): Promise<string> {
  const { card, golden, name } = model.bundle;
  const lines = golden.split("\n").filter((line) => line.trim() !== "");
  const told: string[] = [];
  for (const [index, line] of lines.entries()) {
    try {
      const sample = parseSample(line);
      const outputs = await outputsOf(sample, model, host, decode);
      const given = Object.keys(sample.outputs).map((output) => [output, plainNumbers(outputs[output])] as const);
      const { verdict, label } = judged(outputs, card);
      const { verdict: _verdict, label: _label, ...rest } = sample;
      told.push(
        JSON.stringify({
          ...rest,
          outputs: Object.fromEntries(given),
          ...(sample.label === undefined ? {} : { label }),
          ...(sample.verdict === undefined ? {} : { verdict }),
        }),
      );
    } catch (thrown) {
      const reason = `sample ${index + 1} cannot be run: ${reasonOf(thrown)}`;
      throw new TidegateError("GOLDEN_FAILED", { model: name, faults: [reason], reason }, { cause: thrown });
    }
  }
  return told.map((line) => `${line}\n`).join("");
}

/** Seven digits: what a float32 holds. */
function plainNumbers(values: ArrayLike<number> = []): number | number[] {
  const all = Array.from(values, (value) => Number(value.toPrecision(7)));
  return all.length === 1 ? (all[0] ?? Number.NaN) : all;
}

/** One line of golden samples. @throws TidegateError, SyntaxError when it is none */
export function parseSample(line: string): GoldenSample {
  const parsed = sampleSchema.safeParse(JSON.parse(line));
  if (parsed.success) return parsed.data;
  throw new Error(parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; "));
}

/** Payloads as JSON objects, fields as their keys; what is missing or no number is not a number. */
function decodeJson(payload: string, fields: readonly string[]): number[] {
  const object = JSON.parse(payload) as Record<string, unknown> | null;
  return fields.map((field) => {
    const value = object?.[field];
    return typeof value === "number" ? value : Number.NaN;
  });
}

async function outputsOf(
  sample: GoldenSample,
  model: HostedModel,
  host: GoldenHost,
  decode: DecodePayload,
): Promise<Outputs> {
  if (sample.payloads) return runWindow(windowOf(sample.payloads, model.bundle.card, decode), model, host);
  const { card } = model.bundle;
  const payload = payloadOf(sample);
  const results = await host.runTensors(model, payload ? mediaReader(card)(payload) : givenInputs(sample, card));
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Float32Array.from(data as ArrayLike<number>, Number)]),
  );
}

function payloadOf({ payload, payloadBase64 }: GoldenSample): Uint8Array | undefined {
  if (payload !== undefined) return Buffer.from(payload, "utf8");
  return payloadBase64 === undefined ? undefined : Buffer.from(payloadBase64, "base64");
}

function givenInputs({ inputs: given = {} }: GoldenSample, { inputs }: Card): Tensors {
  return Object.fromEntries(
    Object.entries(given).map(([name, values]) => {
      const { type = "float32", dims = [] } = inputs.find((input) => input.name === name) ?? {};
      if (type !== "float32") throw new Error(`input ${name} is ${type}: samples hold float32`);
      return [name, tensor("float32", [1, ...dims.slice(1).map(Number)], Float32Array.from(values))];
    }),
  );
}

function windowOf(payloads: readonly string[], card: Card, decode: DecodePayload): Float32Array {
  const size = card.window?.size ?? 0;
  if (payloads.length !== size) throw new Error(`${payloads.length} payloads for a window of ${size}`);
  const fields = card.fields.map(({ name }) => name);
  return Float32Array.from(payloads.flatMap((payload) => [...decode(payload, fields)]));
}

/** The way that the stream's windows go, not a second one. */
async function runWindow(window: Float32Array, model: HostedModel, host: GoldenHost): Promise<Outputs> {
  const frame = new Uint8Array(headBytes + window.byteLength);
  frame.set(new Uint8Array(window.buffer), headBytes);
  let values = new Float32Array();
  await host.run(model, frame, 1, window.length, (body) => {
    values = new Float32Array(new Uint8Array(body).buffer);
  });
  const outputs: Outputs = {};
  let at = 0;
  model.bundle.card.outputs.forEach(({ name }, k) => {
    const width = model.widths[k] ?? 0;
    outputs[name] = values.subarray(at, at + width);
    at += width;
  });
  return outputs;
}

function compare(sample: GoldenSample, outputs: Outputs, card: Card): string[] {
  const faults: string[] = [];
  for (const [name, expected] of Object.entries(sample.outputs)) {
    const output = card.outputs.find((each) => each.name === name);
    if (output) faults.push(...compareNumbers(output, [expected].flat(), outputs[name] ?? []));
    else faults.push(`the card has no output ${name}`);
  }
  const { verdict, label } = judged(outputs, card);
  if (sample.verdict !== undefined && verdict !== sample.verdict)
    faults.push(`the verdict is ${verdict}, not ${sample.verdict}`);
  if (sample.label !== undefined && label !== sample.label) faults.push(`the label is ${label}, not ${sample.label}`);
  return faults;
}

function judged(outputs: Outputs, card: Card) {
  const widths = Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, values.length]));
  const judge = judgeOf(card, outputs, widths);
  return { verdict: judgementNames[judge.judgement(0)] ?? null, label: judge.labels[judge.label(0)] ?? null };
}

function compareNumbers({ name, tolerance }: CardOutput, expected: number[], actual: ArrayLike<number>): string[] {
  if (actual.length !== expected.length) return [`output ${name} has ${actual.length} numbers, not ${expected.length}`];
  for (const [i, number] of expected.entries()) {
    const given = actual[i] ?? Number.NaN;
    if (!(Math.abs(given - number) <= tolerance))
      return [`output ${name} is ${given}, not ${number} within ${tolerance}`];
  }
  return [];
}

/**
 * Loads a bundle's model and runs its golden samples. It stays loaded when all is as asked for.
 * @throws TidegateError GOLDEN_FAILED, MODEL_UNREADABLE, MODEL_HASH_MISMATCH, MODEL_CONTRADICTS_CARD, MODEL_RUN_FAILED
 */
export async function loadVerified(bundle: Bundle, host: ModelHost, decode?: DecodePayload): Promise<HostedModel> {
  const model = await host.load(bundle);
  try {
    const { faults } = await runGolden(model, host, decode);
    if (faults.length > 0)
      throw new TidegateError("GOLDEN_FAILED", { model: bundle.name, faults, reason: faults.join("; ") });
    return model;
  } catch (thrown) {
    await host.unload(model);
    throw thrown;
  }
}

/**
 * Checks a bundle: that its model loads, agrees with its card, and gives what its golden samples ask for.
 * @throws TidegateError as `loadVerified`, but for GOLDEN_FAILED: those are in `faults`
 */
export async function verifyBundle(bundle: Bundle, host: ModelHost, decode?: DecodePayload): Promise<GoldenReport> {
  const model = await host.load(bundle);
  try {
    return await runGolden(model, host, decode);
  } finally {
    await host.unload(model);
  }
}

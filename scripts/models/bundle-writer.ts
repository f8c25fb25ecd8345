import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Tensor, tensor } from "../../src/base/tensor.ts";
import { loadSession } from "../../src/drivers/onnxruntime.ts";
import { type Card, cardSchema } from "../../src/inference/card.ts";
import { judgementNames, judgeOf } from "../../src/inference/judge.ts";
import { mediaReader } from "../../src/inference/media-input.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import type { ModelProto } from "../../src/onnx/onnx_pb.ts";
import type { NewCard } from "../../src/train/templates/template.ts";

/** What goes into a model, raw: one of the three. */
export type GoldenInput = {
  readonly name: string;
  /** Payloads of a window, oldest first. */
  readonly payloads?: readonly string[];
  readonly payload?: string;
  readonly payloadBase64?: string;
};

/** A bundle's weights may take this much. */
const maxBytes = 4 * 2 ** 20;

/**
 * Writes a bundle; what its golden samples ask for is what the model gives now.
 * @throws when the weights are too large to ship
 */
export async function writeBundle(
  dir: string,
  model: ModelProto,
  card: NewCard,
  inputs: readonly GoldenInput[],
): Promise<void> {
  const bytes = encodeModel(model);
  if (bytes.length > maxBytes) throw new Error(`${card.name} has ${bytes.length} bytes, more than ${maxBytes}`);
  const parsed = cardSchema.parse(card);
  const session = await loadSession(bytes);
  const lines: string[] = [];
  for (const input of inputs) {
    const results = await session.run(feedsOf(parsed, input));
    lines.push(JSON.stringify({ ...input, ...expectedOf(parsed, results) }));
  }
  await session.release();
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "model.onnx"), bytes);
  writeFileSync(join(dir, "card.yaml"), stringify(card, { lineWidth: 118 }));
  writeFileSync(join(dir, parsed.golden), lines.map((line) => `${line}\n`).join(""));
}

function feedsOf(card: Card, { payloads, payload, payloadBase64 }: GoldenInput): Record<string, Tensor> {
  if (payload !== undefined) return { ...mediaReader(card)(Buffer.from(payload)) };
  if (payloadBase64 !== undefined) return { ...mediaReader(card)(Buffer.from(payloadBase64, "base64")) };
  const input = card.inputs.find(({ from }) => from === "window");
  const values = (payloads ?? []).flatMap((text) => {
    const object = JSON.parse(text) as Record<string, number>;
    return card.fields.map(({ name }) => object[name] ?? Number.NaN);
  });
  const dims = [1, ...(input?.dims.slice(1).map(Number) ?? [])];
  return { [input?.name ?? ""]: tensor("float32", dims, Float32Array.from(values)) };
}

/** Numbers that a text holds exactly enough for the outputs' tolerances. */
const round = (value: number): number => Number(value.toPrecision(7));

function expectedOf(card: Card, results: Record<string, Tensor>) {
  const floats = Object.fromEntries(
    card.outputs.map(({ name }) => [name, Float32Array.from(results[name]?.data as ArrayLike<number>, Number)]),
  );
  const widths = Object.fromEntries(Object.entries(floats).map(([name, values]) => [name, values.length]));
  const judge = judgeOf(card, floats, widths);
  const label = judge.labels[judge.label(0)];
  const verdict = judgementNames[judge.judgement(0)];
  // The outputs of a language model are as many as places times characters: the last place says enough.
  const told = Object.entries(floats).filter(([, values]) => values.length <= 1_000);
  const outputs = Object.fromEntries(
    told.map(([name, values]) => [name, values.length === 1 ? round(values[0] ?? 0) : Array.from(values, round)]),
  );
  return {
    outputs,
    ...(label === undefined ? {} : { label }),
    ...(verdict === null || verdict === undefined ? {} : { verdict }),
  };
}

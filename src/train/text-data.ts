import { TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";
import { withManifest } from "./manifest.ts";
import { type FileRecord, type PickValue, RecordReader } from "./record-reader.ts";
import { checkTargets, targetRows, targetTensor } from "./targets.ts";

export type TextOptions = {
  readonly card: Card;
  readonly file: string;
  readonly pick?: PickValue;
  /** Columns: of the text, its label, and its time (absent: texts have no order). */
  readonly text: string;
  readonly label: string;
  readonly time?: string | undefined;
  /** The text as the model takes it: as many numbers as its input has. The preprocessing that the gateway runs. */
  encode(text: string): ArrayLike<number>;
};

/**
 * Texts with labels to examples, in order of time where they have one.
 * @throws TidegateError RECORDING_INVALID (with the line), DATA_UNUSABLE
 */
export async function textData(records: AsyncIterable<FileRecord>, options: TextOptions): Promise<DataSet> {
  const { card, file, text, label, time, encode } = options;
  const reader = new RecordReader(file, options.pick);
  const { input, dims, length } = textInput(card, file);
  const entries: { codes: ArrayLike<number>; target: number; ts: number }[] = [];
  for await (const record of records) {
    const content = reader.text(record, text);
    if (content === "") throw reader.fault(record.line, `${text} is missing or empty`);
    const codes = encode(content);
    if (codes.length !== length)
      throw unusable(file, `a text gives ${codes.length} numbers, the model takes ${length}`);
    const ts = time === undefined ? Number.NaN : reader.time(record, time);
    entries.push({ codes, target: reader.target(record, label, card), ts });
  }
  if (time !== undefined) entries.sort((a, b) => a.ts - b.ts);
  const count = entries.length;
  const labels = Float64Array.from(entries, ({ target }) => target);
  checkTargets(card, file, count, labels);
  const all = input.type === "float32" ? new Float32Array(count * length) : new Int32Array(count * length);
  entries.forEach(({ codes }, i) => {
    all.set(codes, i * length);
  });
  const texts =
    all instanceof Float32Array ? tensor("float32", [count, ...dims], all) : tensor("int32", [count, ...dims], all);
  const targets = targetTensor(card, labels, 1);
  const numbers = Int32Array.from({ length: count }, (_, i) => i);
  return withManifest(
    {
      data: { texts, targets },
      inputs: { [input.name]: { data: "texts", type: texts.type, dims } },
      target: targetRows("targets", targets),
      first: numbers,
      place: numbers,
      reach: 1,
      weights: new Float32Array(count).fill(1),
      source: new Int32Array(count),
      ts: Float64Array.from(entries, ({ ts }) => ts),
      marked: new Uint8Array(count),
    },
    file,
    count,
    [],
  );
}

/**
 * A long text to examples of a language model: pieces of it, each with the same piece one token further as target.
 *
 * @param tokens  the text, as numbers below the model's classes
 * @param hop  tokens from one example to the next. Default: as many as an example has. A token's place stands for its time
 * @throws TidegateError DATA_UNUSABLE
 */
export function sequenceData(card: Card, tokens: Int32Array, file: string, hop?: number): DataSet {
  const { input, length: size } = textInput(card, file);
  const step = hop ?? size;
  const count = Math.max(0, Math.floor((tokens.length - size - 1) / step) + 1);
  const classes =
    card.labels.length || Number(card.outputs.find(({ name }) => name === card.loss?.output)?.dims.at(-1));
  const foreign = tokens.findIndex((token) => token < 0 || token >= classes);
  if (foreign >= 0)
    throw unusable(file, `token ${tokens[foreign]} at place ${foreign} is out of range: the model has ${classes}`);
  checkTargets(card, file, count, undefined);
  const first = Int32Array.from({ length: count }, (_, i) => i * step);
  const rows = { data: "tokens", type: "int32", dims: [], span: size } as const;
  return withManifest(
    {
      data: { tokens: tensor("int32", [tokens.length], tokens) },
      inputs: { [input.name]: rows },
      target: { ...rows, offset: 1 },
      first,
      place: first,
      reach: size + 1,
      weights: new Float32Array(count).fill(1),
      source: new Int32Array(count),
      ts: Float64Array.from(first),
      marked: new Uint8Array(count),
    },
    file,
    tokens.length,
    [],
  );
}

/** The input that takes the text, and how many numbers it takes of one. */
function textInput(card: Card, file: string) {
  const input = card.inputs.find(({ from }) => from === "media" || from === "window");
  const dims = input?.dims.slice(1).map(Number) ?? [];
  const length = dims.reduce((product, dim) => product * dim, 1);
  if (!input || !(length > 0)) throw unusable(file, "the model has no input whose shape is fixed, but for the batch");
  return { input, dims, length };
}

const unusable = (what: string, reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what,
    reason,
    remedy: "Compare the texts and their encoding with the inputs and labels of the model's card.",
  });

import { readFile } from "node:fs/promises";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import type { Card } from "../../inference/card.ts";
import { mediaReader } from "../../inference/media-input.ts";
import { characterIds } from "../../preprocess/text.ts";
import type { DataSet } from "../../train/data-set.ts";
import { imageData, type Labelled, parseIdx } from "../../train/idx-data.ts";
import { tableData } from "../../train/table-data.ts";
import { sequenceData, textData } from "../../train/text-data.ts";
import { readRecording } from "../replay/records.ts";

export type FileOptions = {
  /**
   * CSV or NDJSON, one after the other; or IDX: images and labels, and perhaps those of a test set. For a model of texts
   * they have the columns `text` and `label`; for a language model they are plain text.
   */
  readonly data: readonly string[];
  readonly time?: string;
  readonly source?: string;
  readonly event?: string;
  readonly seed: number;
};

/**
 * Examples of a card's model from files.
 * @throws TidegateError FILE_UNREADABLE, RECORDING_INVALID, DATA_UNUSABLE, USAGE
 */
export async function dataFromFiles(card: Card, options: FileOptions): Promise<DataSet> {
  const { data, time, source, event, seed } = options;
  if (data.some(isIdx)) return images(card, data);
  const file = data.join(", ");
  if (card.preprocess?.kind === "text") return card.task === "language" ? plainText(card, data) : texts(card, options);
  return tableData(records(data), { card, file, time, source, event, seed });
}

const isIdx = (file: string): boolean => /(ubyte|\.idx\d?)(\.gz)?$/.test(file);

/** Texts with labels, in the encoding that the gateway gives them. */
function texts(card: Card, { data, time }: FileOptions): Promise<DataSet> {
  const read = mediaReader(card);
  const encode = (text: string): ArrayLike<number> => {
    const [encoded] = Object.values(read(Buffer.from(text)));
    return (encoded?.data ?? []) as ArrayLike<number>;
  };
  const label = card.target?.kind === "label" ? (card.target.field ?? "label") : "label";
  return textData(records(data), { card, file: data.join(", "), text: "text", label, time, encode });
}

/** Texts for a language model, one after the other, as places in its alphabet. */
async function plainText(card: Card, files: readonly string[]): Promise<DataSet> {
  const { alphabet } = card.preprocess?.options ?? {};
  const file = files.join(", ");
  if (typeof alphabet !== "string")
    throw new TidegateError("CARD_INVALID", { file, reason: "preprocess.options: a language model has an alphabet" });
  const parts: string[] = [];
  for (const each of files) parts.push(new TextDecoder().decode(await bytesOf(each)));
  return sequenceData(card, characterIds(parts.join("\n"), alphabet), file);
}

async function* records(files: readonly string[]) {
  for (const file of files) yield* readRecording(file);
}

async function images(card: Card, files: readonly string[]): Promise<DataSet> {
  const tensors = [];
  for (const file of files) tensors.push({ file, values: parseIdx(await bytesOf(file), file) });
  const all = tensors.filter(({ values }) => values.dims.length > 1);
  const labels = tensors.filter(({ values }) => values.dims.length === 1);
  const sets = all.flatMap(({ file, values }, index): Labelled[] => {
    const own = labels[index];
    return own ? [{ file, images: values, labels: own.values }] : [];
  });
  const [given, official] = sets;
  if (given && sets.length === all.length && sets.length <= 2) return imageData(card, given, official);
  const detail = "--data with IDX files takes images and labels, and after them those of a test set if there is one";
  throw new TidegateError("USAGE", { detail });
}

async function bytesOf(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

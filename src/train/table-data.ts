import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { PipelineConfig } from "../preprocess/pipeline-options.ts";
import type { DataSet } from "./data-set.ts";
import { withManifest } from "./manifest.ts";
import { type FileRecord, type PickValue, RecordReader } from "./record-reader.ts";
import { WindowData } from "./window-data.ts";
import { WindowExamples } from "./window-examples.ts";

export type TableOptions = {
  readonly card: Card;
  /** How errors call the file. */
  readonly file: string;
  readonly pick?: PickValue;
  /** Column of the time. Absent: lines follow on each other by the card's period where windows hold more than one reading, else they are independent. */
  readonly time?: string | undefined;
  /** Column of the source. Absent: there is one. */
  readonly source?: string | undefined;
  /** Column that is not 0 during an event. */
  readonly event?: string | undefined;
  /** How readings become windows. Default: they are taken as they are. */
  readonly stream?: PipelineConfig;
  readonly maxExamples?: number;
  readonly seed: number;
};

/** Readings as they are: what lacks a field is left out. */
const asTheyAre: PipelineConfig = {
  clean: {
    range: {},
    missing: "drop",
    missingLimit: 60_000,
    duplicates: "keep",
    outliers: "none",
    hampel: { window: 7, sigmas: 3 },
  },
  transform: [],
  normalize: "model",
};

/** Most lines without a time that are taken: they are all held in memory. */
const maxLines = 5_000_000;

/**
 * Lines of a CSV or NDJSON file to examples of a card's model.
 * @throws TidegateError RECORDING_INVALID (with the line), DATA_UNUSABLE
 */
export async function tableData(records: AsyncIterable<FileRecord>, options: TableOptions): Promise<DataSet> {
  const isSeries = options.time !== undefined || (options.card.window?.size ?? 1) > 1;
  return isSeries ? seriesOf(records, options) : rowsOf(records, options);
}

async function seriesOf(records: AsyncIterable<FileRecord>, options: TableOptions): Promise<DataSet> {
  const { file, time, source, event, stream = asTheyAre, maxExamples, seed } = options;
  const reader = new RecordReader(file, options.pick);
  const target = targetField(options.card);
  const isLabel = options.card.target?.kind === "label" && target !== undefined;
  const card: Card = isLabel ? { ...options.card, target: { kind: "label", field: target } } : options.card;
  const own = [...card.fields.map(({ name }) => name), ...stream.transform.map(({ field }) => field)];
  const made = new Set(stream.transform.map(({ as }) => as));
  const fields = [...new Set([...own, ...[target, event].filter((name) => name !== undefined)])].filter(
    (name) => !made.has(name),
  );
  const data = new WindowData({
    card,
    stream: { name: file, fields, config: stream },
    eventField: event,
    maxExamples,
    seed,
  });
  const row = new Float64Array(fields.length);
  let number = 0;
  for await (const record of records) {
    fields.forEach((name, i) => {
      row[i] = name === target && isLabel ? reader.target(record, name, card) : reader.number(record, name);
    });
    const ts = time === undefined ? number * (card.period ?? 1_000) : reader.time(record, time);
    data.reading(source === undefined ? "" : reader.text(record, source), ts, row);
    number++;
  }
  return data.finish();
}

/** Independent lines: no order, no time. */
async function rowsOf(records: AsyncIterable<FileRecord>, options: TableOptions): Promise<DataSet> {
  const { card, file, event } = options;
  const reader = new RecordReader(file, options.pick);
  if (card.target?.kind === "next")
    throw new TidegateError("DATA_UNUSABLE", {
      what: file,
      reason: "its lines have no time, and the model is to foretell what comes next",
      remedy: "Name the column of the time.",
    });
  const fields = card.fields.map(({ name }) => name);
  const target = targetField(card);
  const values: number[] = [];
  const targets: number[] = [];
  const marks: boolean[] = [];
  for await (const record of records) {
    for (const name of fields) values.push(reader.neededNumber(record, name));
    if (target !== undefined) targets.push(reader.target(record, target, card));
    marks.push(event !== undefined && reader.number(record, event) !== 0);
    if (marks.length > maxLines) throw reader.fault(record.line, `it has more than ${maxLines} lines`);
  }
  const count = marks.length;
  const numbers = Float64Array.from({ length: count }, (_, i) => i);
  const examples = new WindowExamples(card, 1);
  examples.add(
    { source: 0, rows: Float32Array.from(values), ts: numbers, ends: new Uint8Array(count).fill(1) },
    { targetAt: (at) => targets[at] ?? Number.NaN, isMarked: (at) => marks[at] ?? false },
  );
  const raw = examples.finish(file);
  return withManifest({ ...raw, ts: new Float64Array(raw.ts.length).fill(Number.NaN) }, file, count, []);
}

const targetField = ({ target }: Card): string | undefined =>
  target?.kind === "field" || target?.kind === "label" ? (target.field ?? "label") : undefined;

import { TidegateError } from "../../base/errors.ts";
import type { CodecOptions, FieldSource, TimestampUnit } from "./codec-options.ts";
import { type FieldPath, follow, parsePath } from "./field-path.ts";
import type { ReadingBatch } from "./reading-batch.ts";
import { timeOf, timestampSource } from "./timestamp.ts";

const numeric = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/;

type Field = {
  readonly name: string;
  readonly path: FieldPath;
  /** The key, when the path is a single one: the common case, without a walk. */
  readonly key: string | number | undefined;
  readonly map: ReadonlyMap<string, number> | undefined;
};

/** The long form of `temperature: temperature`. */
export const fieldSource = (source: string | FieldSource): FieldSource =>
  typeof source === "string" ? { path: source } : source;

export const valueMap = (source: FieldSource): ReadonlyMap<string, number> | undefined =>
  source.map && new Map(Object.entries(source.map));

/** Parses a decimal number as people and devices write it; NaN when the text is none, or is not finite. */
export const parseNumber = (text: string): number => {
  const value = numeric.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : Number.NaN;
};

/** Takes readings out of what a parser made of a payload: objects, arrays and plain values. */
export class ObjectReader {
  readonly fields: readonly string[];
  readonly #fields: readonly Field[];
  readonly #records: FieldPath | undefined;
  readonly #time: { readonly path: FieldPath; readonly unit: TimestampUnit } | undefined;
  readonly #numericStrings: boolean;
  /** Every path starts with an index: then `[21.5, 40]` is one reading, not two. */
  readonly #byIndex: boolean;

  constructor(options: CodecOptions) {
    this.#fields = Object.entries(options.fields ?? {}).map(([name, source]) => {
      const long = fieldSource(source);
      const path = parsePath(long.path);
      return { name, path, key: path.length === 1 ? path[0] : undefined, map: valueMap(long) };
    });
    this.fields = this.#fields.map((field) => field.name);
    this.#records = options.records === undefined ? undefined : parsePath(options.records);
    const time = options.timestamp === undefined ? undefined : timestampSource(options.timestamp);
    this.#time = time && { path: parsePath(time.path), unit: time.unit };
    this.#numericStrings = options.numericStrings ?? false;
    this.#byIndex = this.#fields.length > 0 && this.#fields.every((field) => typeof field.path[0] === "number");
  }

  /** @throws TidegateError PAYLOAD_TYPE, PAYLOAD_TIMESTAMP, PAYLOAD_TOO_LARGE */
  read(payload: unknown, batch: ReadingBatch): void {
    if (this.#fields.length === 0) {
      // The payload is kept as it is: one reading, however many things it lists.
      batch.add();
      this.#readTime(payload, batch);
      return;
    }
    const records = this.#records ? follow(this.#records, payload) : payload;
    if (records === undefined) {
      batch.empty++;
    } else if (Array.isArray(records) && !(this.#byIndex && !isContainer(records[0]))) {
      if (records.length === 0) batch.empty++;
      for (let i = 0; i < records.length; i++) this.#readOne(records[i], batch);
    } else {
      this.#readOne(records, batch);
    }
  }

  #readOne(record: unknown, batch: ReadingBatch): void {
    const hasKeys = isContainer(record);
    if (!hasKeys && !this.#fields.some((field) => field.path.length === 0)) {
      throw typeError("(the reading)", "an object", record);
    }
    const offset = batch.add();
    for (let i = 0; i < this.#fields.length; i++) {
      const field = this.#fields[i] as Field;
      let raw: unknown;
      if (field.key === undefined) raw = follow(field.path, record);
      else if (hasKeys) raw = (record as Record<string | number, unknown>)[field.key];
      if (typeof raw === "number" && field.map === undefined && Number.isFinite(raw)) batch.values[offset + i] = raw;
      else batch.values[offset + i] = this.#numberOf(field, raw, record);
    }
    this.#readTime(record, batch);
    batch.settle();
  }

  #readTime(record: unknown, batch: ReadingBatch): void {
    if (!this.#time) return;
    const raw = follow(this.#time.path, record);
    if (raw !== undefined && raw !== null) batch.ts[batch.count - 1] = timeOf(raw, this.#time.unit);
  }

  #numberOf(field: Field, raw: unknown, record: unknown): number {
    if (raw === undefined || raw === null || Number.isNaN(raw)) return Number.NaN;
    if (field.key !== undefined && !Object.hasOwn(record as object, field.key)) return Number.NaN;
    if (field.map && !isContainer(raw)) {
      const mapped = field.map.get(String(raw));
      if (mapped !== undefined) return mapped;
    }
    if (typeof raw === "number" && Number.isFinite(raw)) return raw;
    if (typeof raw === "boolean") return raw ? 1 : 0;
    if (typeof raw === "bigint" && Number.isFinite(Number(raw))) return Number(raw);
    if (typeof raw === "string" && this.#numericStrings) {
      const value = parseNumber(raw);
      if (!Number.isNaN(value)) return value;
    }
    throw typeError(field.name, field.map ? "a number or a text of the map" : "a number", raw);
  }
}

const isContainer = (value: unknown): boolean => typeof value === "object" && value !== null;

function typeError(field: string, expected: string, raw: unknown): TidegateError {
  const actual = Array.isArray(raw) ? "an array" : raw === null ? "null" : typeof raw === "number" ? "an infinity" : "";
  return new TidegateError("PAYLOAD_TYPE", { field, expected, actual: actual || `a value of type ${typeof raw}` });
}

import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import { hasClasses, targetFault } from "./targets.ts";

/** One line of a CSV or NDJSON file. */
export type FileRecord = { readonly values: Readonly<Record<string, unknown>>; readonly line: number };

/** Finds a value in a record by the name that the user gave. Default: the record's own key. */
export type PickValue = (values: Readonly<Record<string, unknown>>, name: string) => unknown;

/** Reads numbers, times and labels out of records, and says where in the file one is not what it should be. */
export class RecordReader {
  readonly #file: string;
  readonly #pick: PickValue;

  constructor(
    file: string,
    pick: PickValue = (values, name) => (Object.hasOwn(values, name) ? values[name] : undefined),
  ) {
    this.#file = file;
    this.#pick = pick;
  }

  /** NaN where the record lacks it. */
  number({ values, line }: FileRecord, name: string): number {
    const value = this.#pick(values, name);
    if (value === undefined || value === null || value === "") return Number.NaN;
    if (typeof value === "boolean") return Number(value);
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw this.fault(line, `${name} is no number: ${JSON.stringify(value)?.slice(0, 60)}`);
  }

  /** As `number`, where there must be one. */
  neededNumber(record: FileRecord, name: string): number {
    const value = this.number(record, name);
    if (Number.isNaN(value)) throw this.fault(record.line, `${name} is missing`);
    return value;
  }

  /** Text; "" where the record lacks it. */
  text({ values, line }: FileRecord, name: string): string {
    const value = this.#pick(values, name);
    if (value === undefined || value === null) return "";
    if (typeof value === "string" || typeof value === "number") return `${value}`;
    throw this.fault(line, `${name} is no text: ${JSON.stringify(value)?.slice(0, 60)}`);
  }

  /** ms UTC, from a number of ms or from ISO 8601. */
  time({ values, line }: FileRecord, name: string): number {
    const value = this.#pick(values, name);
    const ms = typeof value === "number" ? value : Date.parse(`${value}`);
    if (Number.isFinite(ms)) return ms;
    throw this.fault(line, `${name} is no time such as 2026-01-31T12:00:00Z: ${JSON.stringify(value)?.slice(0, 60)}`);
  }

  /** What the model is to give for this record: a number, or one of the card's labels by name or number. */
  target(record: FileRecord, name: string, card: Card): number {
    const raw = this.#pick(record.values, name);
    const isNamed = typeof raw === "string" && (hasClasses(card) || card.loss?.kind === "binaryCrossEntropy");
    const value = isNamed ? card.labels.indexOf(raw) : this.neededNumber(record, name);
    if (isNamed && value < 0)
      throw this.fault(
        record.line,
        `label ${JSON.stringify(raw.slice(0, 60))} is none of the model's (${card.labels.join(", ") || "it has none"})`,
      );
    const fault = targetFault(card, value);
    if (fault) throw this.fault(record.line, fault);
    return value;
  }

  fault(line: number, reason: string): TidegateError {
    return new TidegateError("RECORDING_INVALID", { file: this.#file, line, reason });
  }
}

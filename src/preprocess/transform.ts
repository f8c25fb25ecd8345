import { TidegateError } from "../base/errors.ts";
import type { Column, Slots } from "./slots.ts";

/** One step that computes a field. `StreamConfig["transform"]` fits. */
export type TransformStep = {
  readonly field: string;
  readonly op: "scale" | "offset" | "difference" | "rate" | "log" | "mean" | "std" | "min" | "max";
  /** Factor or summand of scale and offset. */
  readonly by?: number | undefined;
  /** Readings of a rolling mean, std, min or max. */
  readonly over?: number | undefined;
  /** Name of a new field that takes the result; absent: the field itself does. */
  readonly as?: string | undefined;
};

/** Of `over` numbers from `at`. */
type Rolling = (data: Float64Array, at: number, over: number) => number;

const meanOf: Rolling = (data, at, over) => {
  let sum = 0;
  for (let i = 0; i < over; i++) sum += data[at + i] as number;
  return sum / over;
};

/** Taken from all values each time: running sums would drift, and differ after a restart. */
const rolling: Readonly<Record<string, Rolling>> = {
  mean: meanOf,
  std: (data, at, over) => {
    const mean = meanOf(data, at, over);
    let sum = 0;
    for (let i = 0; i < over; i++) sum += ((data[at + i] as number) - mean) ** 2;
    return Math.sqrt(sum / over);
  },
  min: (data, at, over) => {
    let least = data[at] as number;
    for (let i = 1; i < over; i++) least = Math.min(least, data[at + i] as number);
    return least;
  },
  max: (data, at, over) => {
    let most = data[at] as number;
    for (let i = 1; i < over; i++) most = Math.max(most, data[at + i] as number);
    return most;
  },
};

/** The value that takes a step's place in the row; NaN while its past is too short, or where it is not defined. */
type Step = { readonly from: number; readonly to: number; apply(slot: number, ts: number, value: number): number };

const fault = (i: number, key: string, reason: string): TidegateError =>
  new TidegateError("PREPROCESS_INVALID", { what: `transform[${i}].${key}`, reason });

/** Computes fields from fields, in order. A missing value stays missing and leaves no trace in a step's past. */
export class Transformer {
  /** The fields after all steps: those of the stream, then the new ones. */
  readonly fields: readonly string[];
  readonly isIdle: boolean;
  readonly #steps: readonly Step[];
  readonly #pasts: { readonly column: Column; readonly initial: number }[] = [];

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(slots: Slots, fields: readonly string[], steps: readonly TransformStep[]) {
    const known = [...fields];
    this.#steps = steps.map((step, i) => {
      const from = known.indexOf(step.field);
      if (from === -1) throw fault(i, "field", `there is no field ${step.field}`);
      if (step.as !== undefined && known.includes(step.as)) throw fault(i, "as", `there is a field ${step.as} already`);
      const to = step.as === undefined ? from : known.push(step.as) - 1;
      return { from, to, apply: this.#rule(slots, step, i) };
    });
    this.fields = known;
    this.isIdle = steps.length === 0;
  }

  /** Which of the stream's fields the columns of the finished row are computed from, ascending. */
  inputsOf(columns: Int32Array, fields: number): Int32Array {
    const needed = new Set(columns);
    for (const { from, to } of this.#steps.toReversed()) if (needed.has(to)) needed.add(from);
    return Int32Array.from([...needed].filter((column) => column < fields).sort((a, b) => a - b));
  }

  /** @param row  as wide as `fields`, the stream's own filled in; the results go into it */
  apply(slot: number, ts: number, row: Float64Array): void {
    const steps = this.#steps;
    for (let i = 0; i < steps.length; i++) {
      const { from, to, apply } = steps[i] as Step;
      const value = row[from] as number;
      row[to] = Number.isNaN(value) ? value : apply(slot, ts, value);
    }
  }

  /** Forgets the past of a source. */
  restart(slot: number): void {
    for (const { column, initial } of this.#pasts)
      column.data.fill(initial, slot * column.stride, (slot + 1) * column.stride);
  }

  #rule(slots: Slots, { op, by, over }: TransformStep, i: number): Step["apply"] {
    if (op === "log") return (_slot, _ts, value) => Math.log1p(value);
    if (op === "difference" || op === "rate") return this.#change(slots, op === "rate");
    if (op === "scale" || op === "offset") {
      if (by === undefined || !Number.isFinite(by)) throw fault(i, "by", `${op} needs a number`);
      return op === "scale" ? (_slot, _ts, value) => value * by : (_slot, _ts, value) => value + by;
    }
    const rule = rolling[op];
    if (!rule) throw fault(i, "op", `${op} is none`);
    if (over === undefined || !Number.isInteger(over) || over < 1)
      throw fault(i, "over", `${op} needs a count of readings`);
    return this.#rolling(slots, rule, over);
  }

  #past(slots: Slots, stride: number, initial: number): Column {
    const column = slots.column(stride, initial);
    this.#pasts.push({ column, initial });
    return column;
  }

  #change(slots: Slots, isRate: boolean): Step["apply"] {
    const before = this.#past(slots, 1, Number.NaN);
    const beforeTs = this.#past(slots, 1, Number.NaN);
    return (slot, ts, value) => {
      const change = value - (before.data[slot] as number);
      const seconds = (ts - (beforeTs.data[slot] as number)) / 1000;
      before.data[slot] = value;
      beforeTs.data[slot] = ts;
      // Two readings of one instant have no rate.
      return isRate ? (seconds > 0 ? change / seconds : Number.NaN) : change;
    };
  }

  #rolling(slots: Slots, rule: Rolling, over: number): Step["apply"] {
    const ring = this.#past(slots, over, 0);
    const seen = this.#past(slots, 1, 0);
    return (slot, _ts, value) => {
      const count = seen.data[slot] as number;
      ring.data[slot * over + (count % over)] = value;
      seen.data[slot] = count + 1;
      return count + 1 < over ? Number.NaN : rule(ring.data, slot * over, over);
    };
  }
}

import { TidegateError } from "../base/errors.ts";

/** One step that computes a field. `StreamConfig["transform"]` fits. */
export type TransformStep = {
  readonly field: string;
  readonly op: "scale" | "offset" | "difference" | "rate" | "log" | "mean" | "std" | "min" | "max";
  readonly by?: number | undefined;
  readonly over?: number | undefined;
  readonly as?: string | undefined;
};

/** What the steps remember of one source: per step, the recent inputs (oldest first) and the time of the last one. */
export type TransformState = { recent: Float64Array[]; lastTs: Float64Array };

type Step = {
  readonly from: number;
  readonly to: number;
  readonly op: TransformStep["op"];
  readonly by: number;
  readonly over: number;
};

const rolling: Readonly<Record<string, (values: Float64Array) => number>> = {
  mean: meanOf,
  std: (values) => {
    const mean = meanOf(values);
    return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  },
  min: (values) => values.reduce((a, b) => Math.min(a, b)),
  max: (values) => values.reduce((a, b) => Math.max(a, b)),
};

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Computes fields from fields, in order; a step whose past is missing gives NaN. */
export class Transformer {
  /** The fields after all steps: those of the stream, then the new ones. */
  readonly fields: readonly string[];
  readonly #steps: readonly Step[];

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(fields: readonly string[], steps: readonly TransformStep[]) {
    const known = [...fields];
    this.#steps = steps.map(({ field, op, by, over, as }, i) => {
      const from = known.indexOf(field);
      if (from === -1)
        throw new TidegateError("PREPROCESS_INVALID", {
          what: `transform[${i}]`,
          reason: `there is no field ${field}`,
        });
      const name = as ?? field;
      const to = known.includes(name) ? known.indexOf(name) : known.push(name) - 1;
      return { from, to, op, by: by ?? (op === "scale" ? 1 : 0), over: op in rolling ? (over ?? 2) : 1 };
    });
    this.fields = known;
  }

  get isIdle(): boolean {
    return this.#steps.length === 0;
  }

  create(): TransformState {
    return {
      recent: this.#steps.map(({ over }) => new Float64Array(over).fill(Number.NaN)),
      lastTs: new Float64Array(this.#steps.length).fill(Number.NaN),
    };
  }

  /** @param row  as wide as `fields`; the stream's own fields are filled in */
  apply(state: TransformState, ts: number, row: Float64Array): void {
    for (let i = 0; i < this.#steps.length; i++) {
      const { from, to, op, by } = this.#steps[i] as Step;
      const value = row[from] as number;
      const recent = state.recent[i] as Float64Array;
      if (op === "scale") row[to] = value * by;
      else if (op === "offset") row[to] = value + by;
      else if (op === "log") row[to] = Math.log1p(value);
      else if (op === "difference" || op === "rate") {
        const change = value - (recent[0] as number);
        const seconds = (ts - (state.lastTs[i] as number)) / 1000;
        row[to] = op === "difference" ? change : seconds > 0 ? change / seconds : Number.NaN;
        recent[0] = value;
      } else {
        recent.copyWithin(0, 1);
        recent[recent.length - 1] = value;
        row[to] = rolling[op]?.(recent) ?? Number.NaN;
      }
      state.lastTs[i] = ts;
    }
  }
}

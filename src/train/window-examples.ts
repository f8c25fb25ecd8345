import type { Rows } from "../autodiff/training-spec.ts";
import { TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { RawDataSet } from "./manifest.ts";
import type { Run } from "./row-store.ts";
import { checkTargets, targetFault, targetRows, targetTensor } from "./targets.ts";

/** What is known of a source's times. */
export type RunLabels = {
  /** The target at this moment; NaN: none. */
  targetAt(ts: number): number;
  isMarked(from: number, to: number): boolean;
};

type Example = { readonly first: number; readonly source: number; readonly ts: number; readonly isMarked: boolean };

/**
 * Cuts runs of rows into examples of a card's model: where a window ends and its target is known.
 *
 * Rows are shared where the model takes windows as [batch, size, fields]; a model that takes them in another shape gets
 * a row of its own for each window.
 */
export class WindowExamples {
  /** Rows that an example reaches over, its target included. */
  readonly reach: number;
  /** Numbers that one more example takes up, where windows follow on each other row by row. */
  readonly numbers: number;
  readonly #card: Card;
  readonly #size: number;
  readonly #width: number;
  readonly #ahead: number;
  readonly #runs: Run[] = [];
  readonly #examples: Example[] = [];
  /** Of each example, when the target is not in the rows. */
  readonly #targets: number[] = [];
  #rows = 0;

  /** @param memory  rows before a window whose readings have a part in it still, by cleaning and transformation */
  constructor(card: Card, size: number, memory = 0) {
    this.#card = card;
    this.#size = size;
    this.#width = card.fields.length;
    this.#ahead = card.target?.kind === "next" ? card.target.horizon : 0;
    this.reach = size + this.#ahead + memory;
    this.numbers = this.#isSpan() || this.#isRow() ? this.#width : size * this.#width;
  }

  get count(): number {
    return this.#examples.length;
  }

  /** Takes a run; it is kept. */
  add(run: Run, labels: RunLabels): void {
    const { target } = this.#card;
    const isLabelled = target?.kind === "field" || target?.kind === "label";
    const { ts, ends, source } = run;
    this.#runs.push(run);
    for (let newest = this.#size - 1; newest < ts.length; newest++) {
      if (!ends[newest]) continue;
      const oldest = newest - this.#size + 1;
      const last = newest + this.#ahead;
      // What is foretold must be a reading, not a repeat that fills a gap.
      if (this.#ahead > 0 && !(last < ts.length && !Number.isNaN(ts[last]))) continue;
      const at = ts[newest] as number;
      if (isLabelled) {
        const value = labels.targetAt(at);
        if (Number.isNaN(value)) continue;
        const fault = targetFault(this.#card, value);
        if (fault) throw unusable(`the data at ${new Date(at).toISOString()}`, fault);
        this.#targets.push(value);
      }
      const isMarked = labels.isMarked(timeOf(ts, oldest), ts[last] as number);
      this.#examples.push({ first: this.#rows + oldest, source, ts: at, isMarked });
    }
    this.#rows += ts.length;
  }

  /** @param isPart  whether all is there, and of more than one class, is looked at by whoever puts parts together @throws TidegateError DATA_UNUSABLE */
  finish(what: string, isPart = false): RawDataSet {
    const { target } = this.#card;
    const count = this.#examples.length;
    const rows = new Float32Array(this.#rows * this.#width);
    let at = 0;
    for (const run of this.#runs) {
      rows.set(run.rows, at);
      at += run.rows.length;
    }
    const place = Int32Array.from(this.#examples, ({ first }) => first);
    const own = this.#targets.length > 0 || count === 0 ? Float64Array.from(this.#targets) : undefined;
    if (!isPart) checkTargets(this.#card, what, count, target?.kind === "next" ? undefined : own);
    return {
      ...this.#tensors(rows, place, own),
      place,
      reach: this.reach,
      weights: new Float32Array(count).fill(1),
      source: Int32Array.from(this.#examples, ({ source }) => source),
      ts: Float64Array.from(this.#examples, ({ ts }) => ts),
      marked: Uint8Array.from(this.#examples, ({ isMarked }) => (isMarked ? 1 : 0)),
    };
  }

  get #input() {
    return this.#card.inputs.find(({ from }) => from === "window");
  }

  /** Whether the model takes windows as they lie in the rows. */
  #isSpan(): boolean {
    const { dims = [] } = this.#input ?? {};
    return dims.length === 3 && dims[1] === this.#size && dims[2] === this.#width;
  }

  #isRow(): boolean {
    const { dims = [] } = this.#input ?? {};
    return this.#size === 1 && dims.length === 2 && dims[1] === this.#width;
  }

  /** Tensors, how they are read, and the first row of each example. */
  #tensors(rows: Float32Array, place: Int32Array, own: Float64Array | undefined) {
    const card = this.#card;
    const width = this.#width;
    const { target } = card;
    const input = this.#input;
    if (!input) throw unusable("the model", "it takes no windows: no input is from: window");
    const inner = input.dims.slice(1).map(Number);
    const isSpan = this.#isSpan();
    const isShared = isSpan || this.#isRow();
    const all = tensor("float32", [rows.length / width, width], rows);
    const windows = isShared
      ? all
      : tensor("float32", [place.length, ...inner], copied(rows, place, width, this.#size * width));
    const reads: Rows = { data: "windows", type: "float32", dims: isShared ? [width] : inner };
    const inputs = { [input.name]: isSpan ? { ...reads, span: this.#size } : reads };
    const first = isShared ? place : Int32Array.from(place, (_, index) => index);
    if (!target) return { data: { windows }, inputs, first };
    if (target.kind === "input") return { data: { windows }, inputs, first, target: { value: target.value } };
    const values = own ?? this.#valuesAhead(rows, place);
    const targetWidth = own ? 1 : values.length / Math.max(1, place.length);
    if (!isShared) {
      const targets = targetTensor(card, values, targetWidth);
      return { data: { windows, targets }, inputs, first, target: targetRows("targets", targets) };
    }
    // The target of an example stands at its newest row, so that one number names both.
    const spread = new Float64Array((rows.length / width) * targetWidth);
    place.forEach((from, index) => {
      const to = (from + this.#size - 1) * targetWidth;
      for (let k = 0; k < targetWidth; k++) spread[to + k] = values[index * targetWidth + k] as number;
    });
    const targets = targetTensor(card, spread, targetWidth);
    return { data: { windows, targets }, inputs, first, target: targetRows("targets", targets, this.#size - 1) };
  }

  /** The fields that are foretold, of the row that lies ahead of each example. */
  #valuesAhead(rows: Float32Array, place: Int32Array): Float64Array {
    const { target, fields } = this.#card;
    const names = fields.map(({ name }) => name);
    const wanted = (target?.kind === "next" ? target.fields : undefined) ?? names;
    const columns = wanted.map((name) => names.indexOf(name));
    const missing = wanted[columns.indexOf(-1)];
    if (missing !== undefined) throw unusable("the target", `${missing} is no field of the model's window`);
    const values = new Float64Array(place.length * columns.length);
    place.forEach((from, index) => {
      const row = (from + this.#size - 1 + this.#ahead) * this.#width;
      columns.forEach((column, k) => {
        values[index * columns.length + k] = rows[row + column] as number;
      });
    });
    return values;
  }
}

/** Time of a row; where it stands for no reading, that of the next one that does. */
function timeOf(ts: Float64Array, row: number): number {
  for (let i = row; i < ts.length; i++) if (!Number.isNaN(ts[i])) return ts[i] as number;
  return Number.NaN;
}

/** Each window for itself. @param width  numbers in a row; `length`: in a window */
function copied(rows: Float32Array, place: Int32Array, width: number, length: number): Float32Array {
  const windows = new Float32Array(place.length * length);
  place.forEach((row, index) => {
    windows.set(rows.subarray(row * width, row * width + length), index * length);
  });
  return windows;
}

const unusable = (what: string, reason: string): TidegateError =>
  new TidegateError("DATA_UNUSABLE", {
    what,
    reason,
    remedy: "Compare the data with the fields, labels and target of the model's card.",
  });

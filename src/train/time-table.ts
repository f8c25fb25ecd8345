/** What an operator said of a stretch of time, or a label of an event; times in ms UTC, both ends included. */
export type Mark = {
  readonly stream: string;
  /** As it stands in topics: captured levels joined by "/". */
  readonly source: string;
  readonly from: number;
  readonly to: number;
  readonly label: string;
};

type Stretch = { readonly from: number; to: number; readonly label: string };

/** Marks of one stream, to be asked by source and time. */
export class MarkTable {
  readonly #stretches = new Map<string, Stretch[]>();
  #isSorted = true;
  /** Length of the longest one: how far back one that still lasts may have begun. */
  #longest = 0;

  constructor(marks: readonly Mark[] = [], stream?: string) {
    for (const mark of marks)
      if (stream === undefined || mark.stream === stream) this.add(mark.source, mark.from, mark.to, mark.label);
  }

  /** Marks that touch the last one of their source, and say the same, make it longer. */
  add(source: string, from: number, to: number, label: string): void {
    const own = this.#stretches.get(source) ?? [];
    if (own.length === 0) this.#stretches.set(source, own);
    const last = own.at(-1);
    if (last?.label === label && from >= last.from && from <= last.to) last.to = Math.max(last.to, to);
    else own.push({ from, to, label });
    this.#isSorted = false;
  }

  /** Label of the mark that holds this moment: of several the one that begins last. */
  at(source: string, ts: number): string | undefined {
    return this.#over(source, ts, ts).findLast(({ to }) => to >= ts)?.label;
  }

  /** Whether any mark touches this stretch. */
  touches(source: string, from: number, to: number): boolean {
    return this.#over(source, from, to).length > 0;
  }

  #over(source: string, from: number, to: number): readonly Stretch[] {
    if (!this.#isSorted) {
      for (const own of this.#stretches.values()) own.sort((a, b) => a.from - b.from);
      this.#longest = [...this.#stretches.values()]
        .flat()
        .reduce((most, each) => Math.max(most, each.to - each.from), 0);
      this.#isSorted = true;
    }
    const own = this.#stretches.get(source) ?? [];
    const end = firstAfter(own.length, (i) => (own[i]?.from ?? 0) > to);
    let begin = end;
    while (begin > 0 && (own[begin - 1]?.from ?? 0) >= from - this.#longest) begin--;
    return own.slice(begin, end).filter((each) => each.to >= from);
  }
}

/** The first index below `length` for which it holds (and for all behind it); `length` when it holds for none. */
function firstAfter(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Values of one source with their times, ms UTC. A plain object: it crosses the border of processes. */
export type ValueSeries = { readonly source: string; readonly ts: Float64Array; readonly values: Float64Array };

/**
 * Values by source and time: a field of the readings themselves, or what a second stream says of them (a label topic).
 * Values of a source named "" hold for all sources that have none of their own.
 */
export class ValueTable {
  readonly #series = new Map<string, { ts: number[]; values: number[]; isSorted: boolean }>();

  constructor(series: readonly ValueSeries[] = []) {
    for (const { source, ts, values } of series)
      this.#series.set(source, { ts: [...ts], values: [...values], isSorted: false });
  }

  /** All that was added. */
  get series(): ValueSeries[] {
    return [...this.#series].map(([source, { ts, values }]) => ({
      source,
      ts: Float64Array.from(ts),
      values: Float64Array.from(values),
    }));
  }

  add(source: string, ts: number, value: number): void {
    if (Number.isNaN(value)) return;
    let series = this.#series.get(source);
    if (!series) {
      series = { ts: [], values: [], isSorted: true };
      this.#series.set(source, series);
    }
    if (series.ts.length > 0 && ts < (series.ts.at(-1) as number)) series.isSorted = false;
    series.ts.push(ts);
    series.values.push(value);
  }

  /** The value nearest in time, at most `boundMs` away; of two that are as near the later. NaN: there is none. */
  at(source: string, ts: number, boundMs: number): number {
    const series = this.#series.get(source) ?? this.#series.get("");
    if (!series) return Number.NaN;
    if (!series.isSorted) sort(series);
    // The first that is later; equal times: the last of them was said last.
    const low = firstAfter(series.ts.length, (i) => (series.ts[i] as number) > ts);
    const before = low > 0 ? ts - (series.ts[low - 1] as number) : Number.POSITIVE_INFINITY;
    const after = low < series.ts.length ? (series.ts[low] as number) - ts : Number.POSITIVE_INFINITY;
    if (Math.min(before, after) > boundMs) return Number.NaN;
    return (after <= before ? series.values[low] : series.values[low - 1]) ?? Number.NaN;
  }
}

function sort(series: { ts: number[]; values: number[]; isSorted: boolean }): void {
  const order = series.ts.map((_, index) => index).sort((a, b) => (series.ts[a] as number) - (series.ts[b] as number));
  series.ts = order.map((index) => series.ts[index] as number);
  series.values = order.map((index) => series.values[index] as number);
  series.isSorted = true;
}

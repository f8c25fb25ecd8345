import type { CleanOptions } from "../../../src/preprocess/clean.ts";

export type Reading = {
  readonly source: number;
  readonly ts: number;
  readonly values: readonly number[];
};

export type SimpleConfig = {
  readonly clean: Pick<CleanOptions, "range" | "missing" | "missingLimit" | "duplicates">;
  readonly window: { readonly size: number; readonly hop: number; readonly maxGap: number };
  readonly fields: readonly string[];
};

type Row = { readonly sequence: number; readonly ts: number; readonly values: readonly number[] };

/**
 * What the pipeline should give, worked out from the whole list at once with plain arrays: for each source, the windows
 * as [sequence, values]. No clock is set back in what it is given.
 */
export function simpleWindows(readings: readonly Reading[], config: SimpleConfig): Map<number, [number, number[]][]> {
  const bySource = new Map<number, Row[]>();
  for (const [sequence, { source, ts, values }] of readings.entries()) {
    const rows = bySource.get(source) ?? [];
    bySource.set(source, rows);
    if (rows.every((row) => row.ts <= ts)) rows.push({ sequence, ts, values });
  }
  const windows = new Map<number, [number, number[]][]>();
  for (const [source, rows] of bySource) {
    const clean = filled(inRange(withoutDuplicates(rows, config), config), config);
    const given = runs(clean, config.window.maxGap).flatMap((run) => windowsOf(run, config.window));
    if (given.length > 0) windows.set(source, given);
  }
  return windows;
}

function withoutDuplicates(rows: readonly Row[], { clean }: SimpleConfig): readonly Row[] {
  if (clean.duplicates === "keep") return rows;
  const textOf = (row: Row | undefined) => row && [row.ts, ...row.values].join();
  return rows.filter((row, i) => textOf(row) !== textOf(rows[i - 1]));
}

function inRange(rows: readonly Row[], { clean, fields }: SimpleConfig): Row[] {
  const isOutside = (value: number, field: number) => {
    const [low, high] = clean.range[fields[field] ?? ""] ?? [-1e38, 1e38];
    return !(value >= low && value <= high);
  };
  return rows.map((row) => ({
    ...row,
    values: row.values.map((value, i) => (isOutside(value, i) ? Number.NaN : value)),
  }));
}

/** Fills missing values from the readings around them; a reading that stays incomplete goes. */
function filled(rows: readonly Row[], { clean }: SimpleConfig): Row[] {
  const { missing, missingLimit } = clean;
  return rows
    .map((row, at) => {
      const values = row.values.map((value, i) => {
        if (!Number.isNaN(value) || missing === "drop") return value;
        const before = rows.slice(0, at).findLast((other) => !Number.isNaN(other.values[i]));
        if (!before) return value;
        const from = before.values[i] as number;
        if (missing === "hold") return row.ts - before.ts <= missingLimit ? from : value;
        const after = rows.slice(at + 1).find((other) => !Number.isNaN(other.values[i]));
        if (!after || after.ts - before.ts > missingLimit) return value;
        if (after.ts === before.ts) return from;
        const share = (row.ts - before.ts) / (after.ts - before.ts);
        return from * (1 - share) + (after.values[i] as number) * share;
      });
      return { ...row, values };
    })
    .filter(({ values }) => !values.some(Number.isNaN));
}

/** Cuts where the pause is too long. */
function runs(rows: readonly Row[], maxGap: number): Row[][] {
  const parts: Row[][] = [];
  for (const row of rows) {
    const part = parts.at(-1);
    const last = part?.at(-1);
    if (part && last && row.ts - last.ts <= maxGap) part.push(row);
    else parts.push([row]);
  }
  return parts;
}

function windowsOf(run: readonly Row[], { size, hop }: { size: number; hop: number }): [number, number[]][] {
  const windows: [number, number[]][] = [];
  for (let end = size; end <= run.length; end += hop) {
    const rows = run.slice(end - size, end);
    windows.push([rows.at(-1)?.sequence ?? -1, rows.flatMap(({ values }) => values.map(Math.fround))]);
  }
  return windows;
}

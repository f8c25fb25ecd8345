import type { BatchResult } from "../../inference/lane.ts";

/** What the model said about one window of a batch, by output. */
export function outputsOf({ outputs, widths }: BatchResult, row: number): Record<string, number | number[]> {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, values]) => {
      const width = widths[name] ?? 1;
      const numbers = Array.from(values.subarray(row * width, (row + 1) * width));
      return [name, width === 1 ? (numbers[0] ?? Number.NaN) : numbers];
    }),
  );
}

import { TidegateError } from "../../base/errors.ts";
import type { CodecOptions } from "./codec-options.ts";
import { fieldSource, valueMap } from "./object-reader.ts";

/** A field of a payload that is a table. The path is the name of a column, or its index from 0 as `[2]`. */
export type TableField = {
  readonly name: string;
  readonly column: string | number;
  readonly map: ReadonlyMap<string, number> | undefined;
};

export function tableFields(options: CodecOptions): readonly TableField[] {
  return Object.entries(options.fields ?? {}).map(([name, source]) => {
    const long = fieldSource(source);
    return { name, column: columnOf(long.path), map: valueMap(long) };
  });
}

/** "[2]" is the column at index 2, anything else a name: names of columns have dots and blanks. */
export function columnOf(path: string): string | number {
  const index = /^\[(\d{1,5})\]$/.exec(path)?.[1];
  return index === undefined ? path.trim() : Number(index);
}

/**
 * Where a column is among those that the configuration names.
 * @throws TidegateError CODEC_INVALID when it is not one of them
 */
export function locate(column: string | number, columns: readonly string[], codec: string): number {
  const index = typeof column === "number" ? column : columns.indexOf(column);
  if (index >= 0 && index < columns.length) return index;
  const what = typeof column === "number" ? `path "[${column}]"` : `path "${column}"`;
  throw new TidegateError("CODEC_INVALID", { what, reason: `not one of the ${codec} columns ${columns.join(", ")}` });
}

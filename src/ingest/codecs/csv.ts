import { TidegateError } from "../../base/errors.ts";
import type { CodecOptions } from "./codec-options.ts";
import { readCsv } from "./csv-lines.ts";
import type { Decoder } from "./decoder.ts";
import { parseNumber } from "./object-reader.ts";
import { textOf } from "./payload-text.ts";
import type { ReadingBatch } from "./reading-batch.ts";
import { columnOf, locate, type TableField, tableFields } from "./table-columns.ts";
import { timeOf, timestampSource } from "./timestamp.ts";

const missing = /^\s*(?:nan|null)?\s*$/i;
const codec = "CSV";

/** Where the fields and the time are in a line; -1 for a column that the payload does not have. */
type Layout = { readonly fields: readonly number[]; readonly time: number };

/**
 * CSV (RFC 4180): one reading per line. With `columns`, or with paths that are all indexes (`[0]`), every line is a
 * reading; else the first line names the columns. Empty cells, `NaN` and `null` are missing values, `true` and
 * `false` are 1 and 0.
 */
export function csvDecoder(options: CodecOptions): Decoder {
  const delimiter = options.delimiter ?? ",";
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter))
    throw new TidegateError("CODEC_INVALID", { what: "delimiter", reason: "not one character that can part columns" });
  const fields = tableFields(options);
  const time = options.timestamp === undefined ? undefined : timestampSource(options.timestamp);
  const timeColumn = time && columnOf(time.path);
  const layoutOf = (find: (column: string | number) => number): Layout => ({
    fields: fields.map((field) => find(field.column)),
    time: timeColumn === undefined ? -1 : find(timeColumn),
  });
  const { columns } = options;
  const fixed = columns
    ? layoutOf((column) => locate(column, columns, codec))
    : [...fields.map((field) => field.column), timeColumn ?? 0].every((column) => typeof column === "number")
      ? layoutOf(Number)
      : undefined;

  function readLine(cells: readonly string[], layout: Layout, batch: ReadingBatch): void {
    const offset = batch.add();
    for (let i = 0; i < fields.length; i++) {
      const cell = cells[layout.fields[i] ?? -1];
      if (cell !== undefined) batch.values[offset + i] = numberOf(fields[i] as TableField, cell);
    }
    const at = cells[layout.time];
    if (time && at !== undefined && !missing.test(at)) batch.ts[batch.count - 1] = timeOf(at.trim(), time.unit);
    batch.settle();
  }

  return {
    fields: fields.map((field) => field.name),
    keepsPayload: fields.length === 0,
    decode(payload, batch) {
      const text = textOf(payload);
      if (text.trim() === "") throw malformed("it is empty");
      if (fields.length === 0) {
        readCsv(text, delimiter, () => {});
        batch.add();
        return;
      }
      let layout = fixed;
      let width = columns?.length;
      readCsv(text, delimiter, (cells, line) => {
        if (!layout) {
          const names = cells.map((cell) => cell.trim());
          layout = layoutOf((column) => (typeof column === "number" ? column : names.indexOf(column)));
          if (layout.fields.every((index) => index === -1))
            throw malformed("its first line names none of the columns that the fields are in");
          width = names.length;
          return;
        }
        width ??= cells.length;
        if (cells.length !== width) throw malformed(`line ${line} has ${cells.length} columns, not ${width}`);
        readLine(cells, layout, batch);
      });
      if (batch.count === 0 && batch.empty === 0) batch.empty++;
    },
  };
}

function numberOf(field: TableField, cell: string): number {
  const text = cell.trim();
  const mapped = field.map?.get(text);
  if (mapped !== undefined) return mapped;
  if (missing.test(text)) return Number.NaN;
  const value = text === "true" ? 1 : text === "false" ? 0 : parseNumber(text);
  if (!Number.isNaN(value)) return value;
  const expected = field.map ? "a number or a text of the map" : "a number";
  throw new TidegateError("PAYLOAD_TYPE", { field: field.name, expected, actual: "another text" });
}

const malformed = (reason: string): TidegateError => new TidegateError("PAYLOAD_MALFORMED", { codec, reason });

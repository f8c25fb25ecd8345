import type { ReadingLine } from "../../gateway/reading-line.ts";

/** What the columns of a CSV file are: fixed once its head is written. */
export type CsvColumns = {
  /** Names that the stream's topic captures. */
  readonly source: readonly string[];
  readonly fields: readonly string[];
  readonly hasPayload: boolean;
};

/** The columns that one reading calls for. */
export const columnsOf = ({ source, fields, payload }: ReadingLine): CsvColumns => ({
  source: Object.keys(source),
  fields: Object.keys(fields),
  hasPayload: payload !== undefined,
});

/** Names as paths into the NDJSON form, so that a capture and a field may be called alike. */
export const csvHead = ({ source, fields, hasPayload }: CsvColumns): string =>
  row([
    ...["id", "stream", ...source.map((name) => `source.${name}`), "ts", "receivedAt"],
    ...fields.map((name) => `fields.${name}`),
    ...(hasPayload ? ["payload"] : []),
  ]);

/** One line of CSV (RFC 4180, but for the line ends); a field that the reading lacks is empty. */
export const csvLine = (line: ReadingLine, { source, fields, hasPayload }: CsvColumns): string =>
  row([
    ...[line.id, line.stream, ...source.map((name) => line.source[name] ?? ""), line.ts, line.receivedAt],
    ...fields.map((name) => line.fields[name] ?? ""),
    ...(hasPayload ? [line.payload ?? ""] : []),
  ]);

const row = (cells: readonly (string | number)[]): string => cells.map(cell).join(",");

const cell = (value: string | number): string => {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

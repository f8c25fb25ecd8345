import { reasonOf, TidegateError } from "../../base/errors.ts";
import { readCsv } from "../../ingest/codecs/csv-lines.ts";
import { parseNumber } from "../../ingest/codecs/object-reader.ts";
import { isObject, type JsonObject, parseObjectLine } from "../recording/json-line.ts";
import { type Line, readLines } from "../recording/lines.ts";

/** One entry of a recording: values by name, and where it stands. */
export type RecordedEntry = { readonly values: JsonObject; readonly line: number; readonly share: number };

/** A quote that is never closed must not gather the whole file. */
const maxJoined = 10_000;

/**
 * Reads a recording: lines of JSON objects, or CSV with a header line (comma, semicolon or tab), whichever the first
 * line shows. Lines of `tidegate buffer export` give their fields, their source's names and `ts`.
 *
 * @throws TidegateError FILE_UNREADABLE, RECORDING_INVALID
 */
export async function* readRecording(file: string): AsyncGenerator<RecordedEntry> {
  let columns: readonly string[] | undefined;
  let delimiter = ",";
  let open: { line: Line; texts: string[] } | undefined;
  for await (const line of readLines(file)) {
    if (columns === undefined && line.text.trimStart().startsWith("{")) {
      yield { values: flattened(parseObjectLine(file, line)), line: line.number, share: line.share };
      continue;
    }
    open ??= { line, texts: [] };
    open.texts.push(line.text);
    const text = open.texts.join("\n");
    // A cell in quotes may hold line ends: the line goes on until its quotes are closed.
    if (text.split('"').length % 2 === 0) {
      if (open.texts.length > maxJoined) throw invalid(file, open.line.number, "a quote is not closed");
      continue;
    }
    const first = open.line.number;
    open = undefined;
    if (columns === undefined) {
      delimiter = delimiterOf(text);
      columns = cellsOf(file, text, delimiter, first).map((name) => name.trim());
      continue;
    }
    yield {
      values: rowOf(file, cellsOf(file, text, delimiter, first), columns, first),
      line: first,
      share: line.share,
    };
  }
  if (open) throw invalid(file, open.line.number, "a quote is not closed");
}

const invalid = (file: string, line: number, reason: string): TidegateError =>
  new TidegateError("RECORDING_INVALID", { file, line, reason });

/** What parts the names of the header line: spreadsheets of half of Europe write semicolons. */
function delimiterOf(header: string): string {
  const counts = [",", ";", "\t"].map((candidate) => ({ candidate, count: header.split(candidate).length }));
  return counts.reduce((a, b) => (b.count > a.count ? b : a)).candidate;
}

function cellsOf(file: string, text: string, delimiter: string, line: number): string[] {
  let cells: string[] = [];
  try {
    readCsv(text, delimiter, (read) => {
      cells = [...read];
    });
  } catch (thrown) {
    throw invalid(file, line, reasonOf(thrown));
  }
  return cells;
}

/** Cells that are numbers become numbers; empty ones are left out, as a sensor leaves out what it has not measured. */
function rowOf(file: string, cells: readonly string[], columns: readonly string[], line: number): JsonObject {
  if (cells.length !== columns.length) throw invalid(file, line, `it has ${cells.length} cells, not ${columns.length}`);
  const entries = columns.flatMap((column, i): [string, unknown][] => {
    const cell = (cells[i] ?? "").trim();
    if (column === "" || cell === "") return [];
    const number = parseNumber(cell);
    return [[column, Number.isNaN(number) ? cell : number]];
  });
  return Object.fromEntries(entries);
}

/** A line of `tidegate buffer export` as the sensor sent it; everything else as it is. */
function flattened(object: JsonObject): JsonObject {
  const { fields, source, ts } = object;
  return isObject(fields) && isObject(source) ? { ...source, ts, ...fields } : object;
}

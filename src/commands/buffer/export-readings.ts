import { TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import type { Config } from "../../config/config.ts";
import type { ExportQuery } from "../../gateway/buffer-export.ts";
import type { ReadingLine } from "../../gateway/reading-line.ts";
import { compilePattern } from "../../ingest/topic-pattern.ts";
import { untilTaken } from "../paced-output.ts";
import type { Io } from "../verb.ts";
import { type CsvColumns, columnsOf, csvHead, csvLine } from "./csv.ts";
import type { JournalAccess } from "./journal-access.ts";

/** Lines that are written at once: a call to the system for each would take longer than the reading. */
const batchLines = 256;

/**
 * Prints the readings of a stream, one a line.
 * @throws TidegateError USAGE when the journal has no such stream
 */
export async function printReadings(
  journal: JournalAccess,
  query: ExportQuery,
  format: "ndjson" | "csv",
  config: Config,
  io: Io,
): Promise<void> {
  const { streams } = await journal.stats();
  if (!Object.hasOwn(streams, query.stream)) throw unknownStream(query.stream, Object.keys(streams));
  const batch: string[] = [];
  const flush = () => {
    if (batch.length > 0) io.out(batch.splice(0).join("\n"));
  };
  const put = (text: string) => void batch.push(text);
  const sheet = format === "csv" ? new Sheet(config, query.stream, put) : null;
  let readings = 0;
  try {
    await journal.readings(query, (line) => {
      readings++;
      if (sheet) sheet.add(line);
      else put(JSON.stringify(line));
      if (batch.length < batchLines) return undefined;
      flush();
      return untilTaken(io.signal);
    });
    sheet?.end();
  } finally {
    flush();
  }
  if (readings > 0) return;
  io.err(`No reading of ${query.stream} is as asked for.`);
  if (query.source?.includes("="))
    io.err(`Sources are given as they stand in topics, without names: "kitchen", not "device=kitchen".`);
}

function unknownStream(stream: string, known: readonly string[]): TidegateError {
  const nearest = nearestName(stream, known);
  const hint = nearest ? `did you mean ${nearest}?` : `it has ${known.join(", ") || "none"}`;
  return new TidegateError("USAGE", { detail: `the journal has no stream ${stream}: ${hint}`, known });
}

/** A CSV file on its way out: the stream's configuration gives its columns; without one, the first reading. */
class Sheet {
  readonly #put: (text: string) => void;
  readonly #names: Omit<CsvColumns, "hasPayload"> | null;
  #columns: CsvColumns | undefined;

  constructor({ streams }: Config, stream: string, put: (text: string) => void) {
    const configured = Object.hasOwn(streams, stream) ? streams[stream] : undefined;
    this.#put = put;
    this.#names = configured
      ? { source: compilePattern(configured.topic).names, fields: Object.keys(configured.fields) }
      : null;
  }

  add(line: ReadingLine): void {
    this.#columns ??= this.#begin({ ...columnsOf(line), ...this.#names });
    this.#put(csvLine(line, this.#columns));
  }

  /** A file without readings has its head all the same. */
  end(): void {
    if (!this.#columns && this.#names) this.#begin({ ...this.#names, hasPayload: false });
  }

  #begin(columns: CsvColumns): CsvColumns {
    this.#put(csvHead(columns));
    return columns;
  }
}

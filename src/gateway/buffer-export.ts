import { TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { renderSource, type Source } from "../base/frame.ts";
import type { Range } from "../buffer/commit.ts";
import { type ReadingLine, readingLines } from "./reading-line.ts";

export type ExportQuery = {
  readonly stream: string;
  /** Source as it stands in topics: captured levels joined by "/". */
  readonly source?: string;
  /** ms UTC; `to` is not included. */
  readonly from?: number;
  readonly to?: number;
};

/** What an export reads from: the running journal, or a store that was opened for it. */
export type ExportSource = {
  read(stream: string, range: Range): Frame[] | Promise<Frame[]>;
  sourcesOf(stream: string): readonly Source[] | Promise<readonly Source[]>;
};

const sliceReadings = 2_048;

/** Readings of a stream, in order of arrival, slice by slice, so that commits get between. */
export async function* exportReadings(query: ExportQuery, from: ExportSource): AsyncGenerator<ReadingLine[]> {
  const fromTs = query.from ?? -8.64e15;
  const toTs = query.to ?? 8.64e15 + 1;
  const sources = await from.sourcesOf(query.stream);
  for (let at = 0; ; ) {
    const frames = await from.read(query.stream, { from: at, fromTs, toTs, limit: sliceReadings });
    const last = frames.at(-1);
    if (!last) return;
    at = last.first + last.count;
    const lines = frames
      .flatMap((frame) => [...readingLines(frame, sources)])
      .filter(
        ({ ts, source }) =>
          ts >= fromTs && ts < toTs && (query.source === undefined || renderSource(source) === query.source),
      );
    if (lines.length > 0) yield lines;
  }
}

/** A moment as a user writes it: ISO 8601, or ms since 1970. */
export function parseMoment(text: string): number {
  const ms = /^-?\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(ms))
    throw new TidegateError("USAGE", { detail: `"${text}" is no time such as 2026-01-31T12:00:00Z` });
  return ms;
}

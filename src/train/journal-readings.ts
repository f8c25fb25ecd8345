import { type Frame, renderSource, type Source } from "../base/frame.ts";
import type { Range } from "../buffer/commit.ts";
import type { ValueTable } from "./time-table.ts";
import type { ReadingSlice } from "./training-job.ts";

/** Which readings are wanted. */
export type ReadingQuery = {
  readonly stream: string;
  /** As they stand in topics: captured levels joined by "/". Absent: all. */
  readonly sources?: readonly string[] | undefined;
  /** ms UTC; `to` is not included. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** Sequence numbers; `until` is not included. */
  readonly fromNumber?: number | undefined;
  readonly until?: number | undefined;
};

/** What readings are read from: the running journal, or a store that was opened for it. */
export type ReadingStore = {
  read(stream: string, range: Range): Frame[] | Promise<Frame[]>;
  sourcesOf(stream: string): readonly Source[] | Promise<readonly Source[]>;
};

const sliceReadings = 2_048;

/**
 * Readings of a stream in order of arrival, in slices of bounded size, so that commits get between; readings that are not
 * asked for are left out.
 * @throws TidegateError as the store does
 */
export async function* readingSlices(from: ReadingStore, query: ReadingQuery): AsyncGenerator<ReadingSlice> {
  const fromTs = query.from ?? -8.64e15;
  const toTs = query.to ?? 8.64e15 + 1;
  const sources = await from.sourcesOf(query.stream);
  const wanted = query.sources && new Set(query.sources);
  const isWanted = sources.map((source) => wanted?.has(renderSource(source)) ?? true);
  const end = query.until === undefined ? {} : { to: query.until };
  for (let at = query.fromNumber ?? 0; ; ) {
    const frames = await from.read(query.stream, { from: at, fromTs, toTs, limit: sliceReadings, ...end });
    const last = frames.at(-1);
    if (!last) return;
    at = last.first + last.count;
    for (const frame of frames) {
      // A frame comes whole when any of its readings is in the range.
      const chosen = chosenOf(frame, isWanted, fromTs, toTs);
      if (chosen.length > 0) yield { frame: chosen.length === frame.count ? frame : picked(frame, chosen), sources };
    }
  }
}

/** Reads what a second stream says (a label topic) into a table of values by source and time. */
export async function readValues(
  values: ValueTable,
  from: ReadingStore,
  query: ReadingQuery,
  field: string,
): Promise<void> {
  for await (const { frame, sources } of readingSlices(from, query)) {
    const column = frame.values[frame.fields.indexOf(field)];
    const names = sources.map(renderSource);
    for (let i = 0; column && i < frame.count; i++)
      values.add(names[frame.source[i] ?? 0] ?? "", frame.ts[i] ?? Number.NaN, column[i] ?? Number.NaN);
  }
}

function chosenOf(frame: Frame, isWanted: readonly boolean[], fromTs: number, toTs: number): number[] {
  const chosen: number[] = [];
  for (let i = 0; i < frame.count; i++) {
    const ts = frame.ts[i] as number;
    if (ts >= fromTs && ts < toTs && (isWanted[frame.source[i] as number] ?? true)) chosen.push(i);
  }
  return chosen;
}

/** Some readings of a frame. Their numbers close up: what is made of them is not written anywhere. */
function picked(frame: Frame, chosen: readonly number[]): Frame {
  const floats = (all: Float64Array): Float64Array => Float64Array.from(chosen, (i) => all[i] as number);
  return {
    stream: frame.stream,
    fields: frame.fields,
    first: frame.first,
    count: chosen.length,
    boot: frame.boot,
    wallOffset: frame.wallOffset,
    source: Uint32Array.from(chosen, (i) => frame.source[i] as number),
    ts: floats(frame.ts),
    arrived: floats(frame.arrived),
    flags: Uint8Array.from(chosen, (i) => frame.flags[i] as number),
    values: frame.values.map(floats),
    ...(frame.payloads ? { payloads: chosen.map((i) => frame.payloads?.[i] ?? new Uint8Array()) } : {}),
  };
}

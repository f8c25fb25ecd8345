import { hash } from "node:crypto";
import { type Frame, readingFlags, renderSource, type Source } from "../base/frame.ts";

/** One reading as `buffer export` and a raw uplink show it; times are whole ms, UTC. */
export type ReadingLine = {
  readonly id: string;
  readonly stream: string;
  readonly source: Source;
  readonly ts: number;
  readonly receivedAt: number;
  /** Null where the payload lacked the field. */
  readonly fields: Readonly<Record<string, number | null>>;
  /** Base64, for streams that keep payloads. */
  readonly payload?: string;
};

/** The readings of a frame, in order of arrival. */
export function* readingLines(frame: Frame, sources: readonly Source[]): Generator<ReadingLine> {
  for (let i = 0; i < frame.count; i++) {
    const source = sources[frame.source[i] ?? 0] ?? {};
    const ts = frame.ts[i] ?? 0;
    const fields = Object.fromEntries(
      frame.fields.map((name, field) => {
        const value = frame.values[field]?.[i] ?? Number.NaN;
        return [name, Number.isFinite(value) ? value : null];
      }),
    );
    const payload = frame.payloads?.[i];
    const text = payload && Buffer.from(payload).toString("base64");
    const hasTime = ((frame.flags[i] ?? 0) & readingFlags.sensorTime) !== 0;
    // With the sensor's own time a reading is the same whenever it comes; without, only its place in the journal tells.
    const identity = hasTime
      ? [frame.stream, renderSource(source), ts, JSON.stringify(fields), text ?? ""]
      : [frame.stream, frame.boot, frame.first + i];
    yield {
      id: hash("sha256", identity.join("\0"), "hex").slice(0, 32),
      stream: frame.stream,
      source,
      ts,
      receivedAt: Math.round((frame.arrived[i] ?? 0) + frame.wallOffset),
      fields,
      ...(text === undefined ? {} : { payload: text }),
    };
  }
}

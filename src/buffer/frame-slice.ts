import type { Frame } from "../base/frame.ts";

/** The part of a frame from sequence number `from` up to, not including, `to`; null when there is none. */
export function sliceFrame(frame: Frame, from: number, to: number): Frame | null {
  const start = Math.max(0, from - frame.first);
  const end = Math.min(frame.count, to - frame.first);
  if (start >= end) return null;
  if (start === 0 && end === frame.count) return frame;
  return {
    ...frame,
    first: frame.first + start,
    count: end - start,
    source: frame.source.slice(start, end),
    ts: frame.ts.slice(start, end),
    arrived: frame.arrived.slice(start, end),
    flags: frame.flags.slice(start, end),
    values: frame.values.map((column) => column.slice(start, end)),
    ...(frame.payloads ? { payloads: frame.payloads.slice(start, end) } : {}),
  };
}

/** A frame with these fields: one that it lacks is NaN, one that is not asked for is left out. */
export function withFields(frame: Frame, fields: readonly string[]): Frame {
  const values = fields.map((name) => {
    const column = frame.values[frame.fields.indexOf(name)];
    return column ?? new Float64Array(frame.count).fill(Number.NaN);
  });
  return { ...frame, fields, values };
}

/** Times of the oldest and the newest reading in frames. */
export function spanOf(frames: readonly Frame[]): { from: number; to: number } {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const { ts } of frames)
    for (const at of ts) {
      if (at < from) from = at;
      if (at > to) to = at;
    }
  return { from, to };
}

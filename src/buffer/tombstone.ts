import { type Frame, readingFlags } from "../base/frame.ts";
import { sliceFrame } from "./frame-slice.ts";

/** What is being erased of a stream: readings sealed under epochs below `below`, of these sources, from before this time. */
export type Tombstone = {
  readonly below: number;
  /** Indexes; null: all. */
  readonly sources: readonly number[] | null;
  /** ms UTC; null: whatever their time. */
  readonly before: number | null;
};

/** All that the stream had when the erasure began: its keys are gone, nothing of it has to be looked at. */
export const isWhole = ({ sources, before }: Tombstone): boolean => sources === null && before === null;

/** Tells of a reading whether it is hidden. */
export type IsHidden = (frame: Frame, i: number) => boolean;

/** Readings that a tombstone hides in a piece of some epoch; null: none. */
export function hiddenBy(tombstone: Tombstone | null, epoch: number): IsHidden | null {
  if (!tombstone || epoch >= tombstone.below) return null;
  const { before } = tombstone;
  const sources = tombstone.sources && new Set(tombstone.sources);
  return ({ source, ts }, i) =>
    (sources === null || sources.has(source[i] as number)) && (before === null || (ts[i] as number) < before);
}

/** A frame without its erased and hidden readings: one for each run between them. */
export function visibleParts(frame: Frame, hasErased: boolean, isHidden: IsHidden | null): Frame[] {
  if (!hasErased && !isHidden) return [frame];
  const parts: Frame[] = [];
  let from = 0;
  const cut = (to: number) => {
    const part = to > from && sliceFrame(frame, frame.first + from, frame.first + to);
    if (part) parts.push(part);
  };
  for (let i = 0; i < frame.count; i++) {
    if (((frame.flags[i] as number) & readingFlags.erased) === 0 && !isHidden?.(frame, i)) continue;
    cut(i);
    from = i + 1;
  }
  cut(frame.count);
  return parts;
}

/**
 * Frames in which nothing but the place is left of hidden readings: sequence numbers stay without gaps, and what stands
 * there instead tells nothing and packs to next to nothing.
 * @returns the frames, and how many of their readings are erased: now, and in all
 */
export function blank(frames: readonly Frame[], isHidden: IsHidden): { frames: Frame[]; now: number; erased: number } {
  let [now, erased] = [0, 0];
  const blanked = frames.map((frame): Frame => {
    const gone = Array.from(frame.flags, (flags, i) => (flags & readingFlags.erased) !== 0 || isHidden(frame, i));
    const before = frame.flags.reduce((sum, flags) => sum + ((flags & readingFlags.erased) === 0 ? 0 : 1), 0);
    const after = gone.reduce((sum, isGone) => sum + (isGone ? 1 : 0), 0);
    now += after - before;
    erased += after;
    if (after === before) return frame;
    const ts = frame.ts.slice();
    const arrived = frame.arrived.slice();
    const flags = frame.flags.slice();
    const values = frame.values.map((column) => column.slice());
    const payloads = frame.payloads?.slice();
    let kept = Math.max(0, gone.indexOf(false));
    for (let i = 0; i < frame.count; i++) {
      if (!gone[i]) {
        kept = i;
        continue;
      }
      ts[i] = gone[kept] ? 0 : (frame.ts[kept] as number);
      arrived[i] = gone[kept] ? 0 : (frame.arrived[kept] as number);
      flags[i] = readingFlags.erased;
      for (const column of values) column[i] = 0;
      if (payloads) payloads[i] = new Uint8Array();
    }
    return { ...frame, ts, arrived, flags, values, ...(payloads ? { payloads } : {}) };
  });
  return { frames: blanked, now, erased };
}

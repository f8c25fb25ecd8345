import type { Log } from "../base/log.ts";
import type { StreamState } from "../buffer/commit.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { type StreamPath, snapshotName } from "./stream-path.ts";

/** Without a snapshot this many readings before the cursor are enough to fill windows and settle verdicts. */
const lookBack = 50_000;
const sliceReadings = 4_096;

/**
 * Brings a stream to where it was when the daemon ended: takes up the newest snapshot and plays the journal from there.
 * Results below the `inferred` cursor are computed in silence, since later ones build on them; those after it are given,
 * marked as repeated.
 * @returns readings played
 */
export async function recover(
  path: StreamPath,
  state: StreamState,
  journal: Journal,
  scheduler: Scheduler,
  log: Log,
): Promise<number> {
  if (!path.isJudged || state.next === 0) return 0;
  const { inferred } = state.cursors;
  const snapshot = await journal.snapshot(path.name, snapshotName);
  const isUsable = snapshot !== null && snapshot.sequence <= state.next && path.restore(snapshot.bytes);
  const start = isUsable ? snapshot.sequence : Math.max(0, inferred - lookBack);
  path.recover(inferred, state.next);
  // A frame may hold more readings than there is room for windows, and each may complete one.
  const step = Math.min(sliceReadings, scheduler.roomOf(path.name));
  let played = 0;
  for (let from = start; from < state.next; ) {
    const frames = await journal.read(path.name, { from, to: state.next, limit: sliceReadings });
    const last = frames.at(-1);
    if (!last) break;
    for (const frame of frames) {
      for (let at = 0; at < frame.count; at += step) {
        path.replay(frame, at, Math.min(frame.count, at + step));
        await scheduler.room(path.name);
      }
      played += frame.count;
    }
    from = last.first + last.count;
  }
  if (played > 0)
    log.info({ stream: path.name, readings: played, owed: Math.max(0, state.next - inferred) }, "journal played");
  return played;
}

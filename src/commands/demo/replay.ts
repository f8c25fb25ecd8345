import { sleep } from "../../base/lifecycle.ts";
import { type MoteReading, motePeriodMs } from "./mote-data.ts";

export type ReplayOptions = {
  /** Times faster than the sensors were; 0: as fast as it goes. */
  readonly speed: number;
  /** Publishes one reading; resolves when the broker has it. */
  publish(topic: string, payload: string): Promise<unknown>;
  /** Readings that the gateway has taken: the replay keeps no more than a window ahead of it. */
  taken(): number;
  readonly signal: AbortSignal;
};

/** Readings under way at once. */
const maxAhead = 400;
const pauseMs = 2;

/**
 * Publishes the readings as the motes did, in order of time.
 * @returns how many were published before the end or the signal
 */
export async function replayMotes(readings: readonly MoteReading[], options: ReplayOptions): Promise<number> {
  const { speed, publish, taken, signal } = options;
  const start = performance.now();
  const firstTs = readings[0]?.ts ?? 0;
  let sent = 0;
  const flying = new Set<Promise<unknown>>();
  for (const { mote, ts, humidity, temperature } of readings) {
    const dueMs = speed === 0 ? 0 : (ts - firstTs) / speed;
    while (
      !signal.aborted &&
      (performance.now() - start < dueMs || sent - taken() >= maxAhead || flying.size >= maxAhead)
    )
      await sleep(pauseMs, signal);
    if (signal.aborted) break;
    const work: Promise<unknown> = publish(`motes/${mote}/env`, JSON.stringify({ ts, humidity, temperature })).finally(
      () => flying.delete(work),
    );
    flying.add(work);
    sent++;
  }
  await Promise.allSettled(flying);
  return sent;
}

/** The speed at which all readings of the longest mote fit into a time. */
export const speedFor = (readings: readonly MoteReading[], durationMs: number): number =>
  ((readings.at(-1)?.ts ?? 0) - (readings[0]?.ts ?? 0) + motePeriodMs) / durationMs;

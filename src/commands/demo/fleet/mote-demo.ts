import { startBroker } from "../../../drivers/aedes.ts";
import { createLog } from "../../../ops/log.ts";
import type { Io } from "../../verb.ts";
import type { MoteReading } from "../mote-data.ts";
import { type Score, score, total } from "../scoreboard.ts";
import { fleetDemo } from "./fleet-demo.ts";
import { type MoteGateways, startMoteGateways } from "./mote-gateways.ts";
import { type MoteTask, moteTask } from "./mote-task.ts";

const windowSize = 16;

type MoteFigures = Awaited<ReturnType<typeof figures>> &
  Score & { readonly uplinked: number; readonly memoryMB: number };

/**
 * Whole gateways that watch their motes with the model that ships, and learn it anew together, from nothing. The answer has
 * the keys of the demonstration of one gateway, over all of them.
 */
export async function moteDemo(options: {
  readonly io: Io;
  readonly isJson: boolean;
  gateways: number;
  rounds?: number;
}) {
  const { io, isJson, gateways, rounds } = options;
  const alarms = new Map<string, boolean>();
  let running: MoteGateways = { gateways: [], sent: 0 };
  return fleetDemo<MoteTask, MoteFigures>({
    ...{ io, isJson, rounds },
    makeTask: (dir) => moteTask(dir, gateways),
    startMembers: async (task, ground) => {
      const site = await startBroker();
      ground.stops.push(() => site.stop());
      running = await startMoteGateways(task, ground, {
        siteUrl: site.url,
        onResult: ({ source, ts, verdict }) => alarms.set(`${source.mote}/${ts}`, verdict === "alarm"),
        signal: io.signal,
        log: createLog({ level: "error" }),
      });
    },
    finish: async ({ parts }) => {
      const watched = parts.flatMap(({ readings }) => [...byMote(readings).values()]);
      const found = total(
        watched.map((readings) =>
          score(
            readings,
            readings.map(({ mote, ts }) => alarms.get(`${mote}/${ts}`) ?? false),
            windowSize,
          ),
        ),
      );
      return {
        ...(await figures(running)),
        ...found,
        uplinked: 0,
        memoryMB: Math.round(process.memoryUsage.rss() / 1e6),
      };
    },
  });
}

function byMote(readings: readonly MoteReading[]): Map<number, MoteReading[]> {
  const motes = new Map<number, MoteReading[]>();
  for (const reading of readings) motes.set(reading.mote, [...(motes.get(reading.mote) ?? []), reading]);
  return motes;
}

/** What all gateways have stored and inferred. */
async function figures({ gateways }: MoteGateways) {
  const sums = { readings: 0, inferences: 0, blocks: 0, fileBytes: 0 };
  for (const gateway of gateways) {
    await gateway.journal.merge();
    await gateway.journal.checkpoint();
    const { streams, fileBytes } = await gateway.journal.stats();
    sums.readings += streams.env?.readings ?? 0;
    sums.blocks += streams.env?.blocks ?? 0;
    sums.fileBytes += fileBytes;
    sums.inferences += gateway.status().streams.env?.inferences ?? 0;
  }
  const { readings, inferences, blocks, fileBytes } = sums;
  return { readings, inferences, blocks, bytesPerReading: Math.round((100 * fileBytes) / Math.max(1, readings)) / 100 };
}

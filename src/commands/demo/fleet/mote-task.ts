import { TidegateError } from "../../../base/errors.ts";
import type { Card } from "../../../inference/card.ts";
import type { PipelineConfig } from "../../../preprocess/pipeline-options.ts";
import type { DataSet } from "../../../train/data-set.ts";
import { templateOptions, templates } from "../../../train/templates/template-table.ts";
import { WindowData } from "../../../train/window-data.ts";
import { type MoteReading, readMotes } from "../mote-data.ts";
import { type GatewayPart, type LearningTask, writeUntrained } from "./learning-task.ts";

/** The oldest part of each mote's readings is learned from; the rest is held back. */
const learnedShare = 0.75;
const window = 16;

export type MotePart = GatewayPart & { readonly readings: readonly MoteReading[] };
export type MoteTask = Omit<LearningTask, "parts"> & { readonly parts: readonly MotePart[] };

/** The template that `mote-anomaly` was made from, with nothing learned yet, and the motes' readings spread over gateways. */
export async function moteTask(dir: string, gateways: number): Promise<MoteTask> {
  const options = {
    ...{ name: "mote-anomaly", fields: ["humidity", "temperature"], units: { humidity: "%", temperature: "°C" } },
    ...{ window, periodMs: 5_000 },
  };
  const template = templates.autoencoder?.make(templateOptions("autoencoder", options));
  if (!template) throw new TidegateError("BUG", { detail: "there is no template autoencoder" });
  const bundle = await writeUntrained(dir, template);
  const motes = readMotes();
  const learned = new Map<number, readonly MoteReading[]>();
  const held: MoteReading[] = [];
  for (const [mote, readings] of motes) {
    const end = Math.floor(learnedShare * readings.length);
    learned.set(mote, readings.slice(0, end));
    held.push(...readings.slice(end));
  }
  const parts = spread(learned, gateways).map((readings, i) => ({
    id: `gw-${i + 1}`,
    from: sourcesOf(readings),
    readings,
    data: dataOf(readings, bundle.card),
  }));
  return {
    ...{
      title: "mote-anomaly",
      bundle,
      parts,
      measure: "error of rebuilding a window, in squares of the fleet's deviation",
    },
    pooled: dataOf([...learned.values()].flat(), bundle.card),
    heldBack: dataOf(held, bundle.card),
    training: { epochs: 3, batch: 32, learningRate: 0.0005, optimizer: { kind: "adam" } },
    // Bounds: an event of some degrees must not set the scale for the quiet days.
    settings: { strategy: "fedavg", normalization: { centred: { low: -1, high: 1 } } },
    rounds: 8,
  };
}

/** Each mote at another gateway; more gateways than motes share a mote by time, fewer have several. */
function spread(motes: ReadonlyMap<number, readonly MoteReading[]>, gateways: number): MoteReading[][] {
  const all = [...motes.values()];
  if (gateways <= all.length)
    return Array.from({ length: gateways }, (_, i) => all.filter((_, mote) => mote % gateways === i).flat());
  return all.flatMap((readings, mote) => {
    const pieces = Math.floor(gateways / all.length) + (mote < gateways % all.length ? 1 : 0);
    const size = Math.ceil(readings.length / pieces);
    return Array.from({ length: pieces }, (_, i) => readings.slice(i * size, (i + 1) * size));
  });
}

function sourcesOf(readings: readonly MoteReading[]): string {
  const motes = [...new Set(readings.map(({ mote }) => mote))];
  return `mote ${motes.join(" and ")}, ${readings.length.toLocaleString("en-US")} readings`;
}

function dataOf(readings: readonly MoteReading[], card: Card): DataSet {
  const fields = ["humidity", "temperature", "event"];
  const clean = { range: {}, missing: "drop", missingLimit: 60_000, duplicates: "keep", outliers: "none" } as const;
  const config: PipelineConfig = {
    clean: { ...clean, hampel: { window: 7, sigmas: 3 } },
    transform: [],
    normalize: "model",
  };
  const data = new WindowData({ card, stream: { name: "motes", fields, config }, eventField: "event", seed: 1 });
  for (const { mote, ts, humidity, temperature, isLabelled } of readings)
    data.reading(`${mote}`, ts, Float64Array.of(humidity, temperature, isLabelled ? 1 : 0));
  return data.finish();
}

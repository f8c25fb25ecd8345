/** What a card says of the readings that its model takes. */
export type ExpectedReadings = {
  readonly name: string;
  readonly fields: readonly { readonly name: string; readonly unit?: string | undefined }[];
  /** Time between two readings, ms. */
  readonly period?: number | undefined;
};

/** What a gateway knows of a stream's readings. */
export type StreamReadings = {
  readonly stream: string;
  /** Fields behind the stream's transformations, with the unit where the configuration says one. */
  readonly fields: ReadonlyMap<string, string | undefined>;
  /** Time between two readings, ms: as they are resampled, else as they were seen to come; null: none came. */
  readonly period: number | null;
};

/** A sensor's clock and its line are no metronome. */
const periodTolerance = 0.25;

/**
 * Why a gateway's readings are not what a model is made for; null when they are. Weights that were learned from °F do
 * not add up with those from °C, and nothing downstream would tell: where the card names a unit the stream must name it too.
 */
export function mismatchOf(card: ExpectedReadings, readings: StreamReadings): string | null {
  const { stream, fields, period } = readings;
  for (const { name, unit } of card.fields) {
    if (!fields.has(name)) return `stream ${stream} has no field ${name}, which ${card.name} takes`;
    if (unit === undefined) continue;
    const own = fields.get(name);
    if (own === undefined) return `stream ${stream} does not say the unit of ${name}; ${card.name} takes ${unit}`;
    if (own !== unit) return `stream ${stream} has ${name} in ${own}; ${card.name} takes ${unit}`;
  }
  if (card.period === undefined) return null;
  if (period === null) return `stream ${stream} has no readings to tell their period by`;
  if (Math.abs(period - card.period) <= periodTolerance * card.period) return null;
  return `readings of stream ${stream} are ${period} ms apart; ${card.name} takes them ${card.period} ms apart`;
}

/** The middle of the times between two readings of one source; null when there are too few. */
export function periodOf(source: ArrayLike<number>, ts: ArrayLike<number>): number | null {
  const last = new Map<number, number>();
  const gaps: number[] = [];
  for (let i = 0; i < ts.length; i++) {
    const before = last.get(source[i] as number);
    const gap = before === undefined ? 0 : (ts[i] as number) - before;
    if (gap > 0) gaps.push(gap);
    last.set(source[i] as number, ts[i] as number);
  }
  gaps.sort((a, b) => a - b);
  return gaps[Math.floor(gaps.length / 2)] ?? null;
}

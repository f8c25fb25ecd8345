import { renderBytes } from "../../base/units.ts";
import { sparkline } from "../terminal/chart.ts";
import { renderTable } from "../terminal/table.ts";

/** What `fleet rounds history` prints with `--json`; rounds ascend. */
export type RoundHistory = {
  readonly model: string;
  readonly rounds: readonly {
    readonly round: number;
    readonly state: string;
    readonly mode: string;
    readonly accepted: number;
    readonly bytesUp: number;
    readonly denseBytes: number;
    /** Of one gateway that has the version before, and of all weights as float32. */
    readonly bytesDown: number;
    readonly denseDown: number;
    readonly version: number | null;
    readonly metrics: Readonly<Record<string, number>>;
  }[];
};

const shownRounds = 20;
const labelWidth = 16;

/** One chart for each metric over all rounds, then a table of the newest. */
export function renderHistory({ model, rounds }: RoundHistory, columns: number): string[] {
  if (rounds.length === 0) return [`${model}: there has been no round yet.`];
  const names = [...new Set(rounds.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  const width = Math.max(10, Math.min(rounds.length, columns - labelWidth - 30));
  const charts = names.map((name) => {
    const values = rounds.flatMap(({ metrics }) => (metrics[name] === undefined ? [] : [metrics[name]]));
    const ends = `${short(values[0])} to ${short(values.at(-1))}`;
    return `${name.slice(0, labelWidth).padEnd(labelWidth)} ${sparkline(values, width)}  ${ends}`;
  });
  const rows = rounds
    .slice(-shownRounds)
    .map(({ round, state, mode, accepted, bytesUp, denseBytes, bytesDown, denseDown, version, metrics }) => [
      ...[round, state, mode, accepted, renderBytes(bytesUp)],
      ...[partOf(denseBytes, bytesUp), renderBytes(bytesDown), partOf(denseDown, bytesDown)],
      version,
      ...names.map((name) => (metrics[name] === undefined ? null : short(metrics[name]))),
    ]);
  const head = ["round", "state", "mode", "updates", "up", "of dense", "down", "of dense", "version", ...names];
  return [`${model}, ${rounds.length} rounds`, ...charts, "", ...renderTable(head, rows)];
}

const partOf = (dense: number, bytes: number): string | null =>
  bytes > 0 ? `1/${Math.max(1, Math.round(dense / bytes))}` : null;

const short = (value: number | undefined): string => (value === undefined ? "-" : String(Number(value.toPrecision(4))));

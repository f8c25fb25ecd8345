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
    .map(({ round, state, mode, accepted, bytesUp, denseBytes, version, metrics }) => [
      ...[round, state, mode, accepted, renderBytes(bytesUp)],
      bytesUp > 0 ? `1/${Math.max(1, Math.round(denseBytes / bytesUp))}` : null,
      version,
      ...names.map((name) => (metrics[name] === undefined ? null : short(metrics[name]))),
    ]);
  const head = ["round", "state", "mode", "updates", "up", "of dense", "version", ...names];
  return [`${model}, ${rounds.length} rounds`, ...charts, "", ...renderTable(head, rows)];
}

const short = (value: number | undefined): string => (value === undefined ? "-" : String(Number(value.toPrecision(4))));

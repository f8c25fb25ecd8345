import { renderBytes } from "../../../base/units.ts";
import { bar, sparkline } from "../../terminal/chart.ts";
import { renderTable } from "../../terminal/table.ts";
import type { Comparison } from "./comparison.ts";

/** What a round came to, as `demo --fleet --json` has it. */
export type RoundLine = {
  readonly round: number;
  /** Of the version that it made, on held-back data. */
  readonly loss: number;
  readonly bytesUp: number;
  /** The same updates as dense float32. */
  readonly denseBytes: number;
  /** What all gateways fetched, at least. */
  readonly bytesDown: number;
  /** Each gateway's own loss of the round's base. */
  readonly gateways: Readonly<Record<string, number>>;
};

const barWidth = 30;

export const renderRound = ({ round, loss, bytesUp, denseBytes, bytesDown, gateways }: RoundLine): string => {
  const own = Object.entries(gateways).map(([id, value]) => `${id} ${short(value)}`);
  const shown = own.length > 6 ? `${own.length} gateways` : own.join("  ");
  const up = `up ${renderBytes(bytesUp)} of ${renderBytes(denseBytes)} dense, down ${renderBytes(bytesDown)}`;
  return `round ${String(round).padStart(3)}  held-back loss ${short(loss)}  ${up}  |  ${shown}`;
};

/** The course of the loss, then who did how well. Shorter bars are better. */
export function renderComparison(rounds: readonly RoundLine[], told: Comparison, measure: string): string[] {
  const rows: [string, number][] = [
    ...told.alone.map(({ gateway, loss }): [string, number] => [`${gateway} alone`, loss]),
    ["alone, in the mean", told.local],
    ["together, as a fleet", told.federated],
    ["all readings in one place", told.centralized],
  ];
  const most = Math.max(...rows.map(([, loss]) => loss)) || 1;
  const table = rows.map(([who, loss]) => [
    who,
    short(loss),
    bar(loss / most, barWidth)
      .split("]")[0]
      ?.slice(1) ?? "",
  ]);
  const up = rounds.reduce((sum, { bytesUp }) => sum + bytesUp, 0);
  const dense = rounds.reduce((sum, { denseBytes }) => sum + denseBytes, 0);
  return [
    "",
    `loss by rounds  ${sparkline(
      rounds.map(({ loss }) => loss),
      40,
    )}`,
    "",
    ...renderTable(["learned", "loss", ""], table),
    "",
    `Loss on held-back data of all gateways (${measure}).`,
    `All updates: ${renderBytes(up)}; as dense float32 ${renderBytes(dense)}. No reading left a gateway.`,
  ];
}

const short = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "-");

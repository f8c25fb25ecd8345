import { readdirSync, readFileSync } from "node:fs";

/** One line of a benchmark's table. `goal` and `met` where DESIGN names a number to reach. */
export type Row = {
  what: string;
  value: number;
  unit: string;
  against?: string;
  ratio?: number;
  goal?: string;
  met?: boolean;
};

export type Report = { name: string; machine: string; rows: Row[]; notes?: string[] };

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Nearest-rank percentile; share between 0 and 1. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** What the figures were measured on. */
export function machine(): string {
  const cpus = readFileSync("/proc/cpuinfo", "utf8");
  const model = /model name\s*: (.*)/.exec(cpus)?.[1] ?? /Model\s*: (.*)/.exec(cpus)?.[1] ?? "unknown CPU";
  const cores = cpus.match(/^processor/gm)?.length ?? 0;
  const load = readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
  return `${model}, ${cores} cores, Node ${process.versions.node}, load average ${load} at the end`;
}

/** A process and all its descendants. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (const parent of found) {
    try {
      for (const task of readdirSync(`/proc/${parent}/task`)) {
        const children = readFileSync(`/proc/${parent}/task/${task}/children`, "utf8").trim();
        if (children) found.push(...children.split(" ").map(Number));
      }
    } catch {
      // The process ended between listing and reading it.
    }
  }
  return found;
}

/** CPU time used so far by a process and its living descendants, seconds. */
export function cpuSeconds(pid: number): number {
  const ticksPerSecond = 100;
  let ticks = 0;
  for (const one of processTree(pid)) {
    try {
      const stat = readFileSync(`/proc/${one}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // Gone: what it used is lost to us, and with it the run; the caller sees the count of processes change.
    }
  }
  return ticks / ticksPerSecond;
}

/** Proportional set size of a process and its descendants, MB (10^6 bytes). */
export function pssMegabytes(pid: number): number {
  let kilobytes = 0;
  for (const one of processTree(pid)) {
    try {
      kilobytes += Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${one}/smaps_rollup`, "utf8"))?.[1] ?? 0);
    } catch {
      // Ended meanwhile.
    }
  }
  return (kilobytes * 1024) / 1e6;
}

/** The table as people read it. */
export function renderReport(report: Report): string {
  const cells = report.rows.map((row) => [
    row.what,
    Number.isInteger(row.value) ? row.value.toLocaleString("en-US") : row.value.toPrecision(4),
    row.unit,
    row.ratio === undefined ? "" : `${row.ratio.toFixed(2)} x ${row.against ?? ""}`,
    row.goal ?? "",
    row.met === undefined ? "" : row.met ? "met" : "NOT MET",
  ]);
  const head = ["what", "value", "unit", "ratio", "goal", ""];
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => (row[i] ?? "").length)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  const notes = (report.notes ?? []).map((note) => `  ${note}`);
  return [`${report.name} (${report.machine})`, "", line(head), rule, ...cells.map(line), ...notes, ""].join("\n");
}

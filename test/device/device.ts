import { expectThat } from "./checks.ts";
import { type Machine, sleep } from "./machine.ts";

/** Where the tree is mounted in the machine. */
export const treeDir = "/opt/tidegate";
export const dataDir = "/var/lib/tidegate";
export const configFile = "/etc/tidegate/tidegate.yaml";
export const unit = "tidegate.service";

/** The port of health and metrics, on the machine's loopback. */
const httpPort = 8_420;

/** What `systemctl show` says of the unit. */
export async function properties<K extends string>(machine: Machine, ...names: K[]): Promise<Record<K, string>> {
  const text = await machine.run(`systemctl show ${unit} ${names.map((name) => `-p ${name}`).join(" ")}`);
  return Object.fromEntries(
    text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  ) as Record<K, string>;
}

export type Processes = { readonly main: number; readonly model: number };

/** The daemon and its model process. */
export async function processes(machine: Machine): Promise<Processes> {
  const { MainPID } = await properties(machine, "MainPID");
  const model = await machine.run(`pgrep -P ${MainPID} -f model-process`);
  return { main: Number(MainPID), model: Number(model) };
}

/** One answer of the daemon over HTTP: `/healthz`, `/metrics`. */
export const ask = (machine: Machine, path: string): Promise<string> =>
  machine.run(
    `exec 9<>/dev/tcp/127.0.0.1/${httpPort}\nprintf 'GET ${path} HTTP/1.0\\r\\nHost: 127.0.0.1:${httpPort}\\r\\n\\r\\n' >&9\ncat <&9`,
  );

/** The sum of a metric over its labels. */
export async function metric(machine: Machine, name: string): Promise<number> {
  const lines = (await ask(machine, "/metrics")).split("\n").filter((line) => line.startsWith(name));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Waits until a metric has reached a value. */
export async function untilMetric(machine: Machine, name: string, value: number, limitMs = 600_000): Promise<void> {
  const end = performance.now() + limitMs;
  let last = Number.NaN;
  while (performance.now() < end) {
    last = await metric(machine, name).catch(() => Number.NaN);
    if (last >= value) return;
    await sleep(1_000);
  }
  throw new Error(`${name} is ${last} and not ${value} after ${limitMs / 1_000} s`);
}

/** The words of the unit's journal since a moment of `mark`. */
export const journalSince = (machine: Machine, cursor: string): Promise<string> =>
  machine.run(`journalctl -u ${unit} --after-cursor='${cursor}' -o cat --no-pager`);

/** A moment in the journal. */
export async function mark(machine: Machine): Promise<string> {
  const text = await machine.run("journalctl -n 1 --show-cursor -o cat --no-pager");
  return /-- cursor: (.*)/.exec(text)?.[1] ?? "";
}

/** Starts the unit, which returns when READY has arrived. */
export async function start(machine: Machine): Promise<void> {
  const { status, text } = await machine.try(`systemctl start ${unit}`, 900_000);
  const log = status === 0 ? "" : await machine.run(`journalctl -u ${unit} -n 20 -o cat --no-pager`);
  expectThat(status === 0, `the unit does not start: ${text}\n${log}`);
}

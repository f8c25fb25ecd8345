/**
 * The cloud broker is away while readings arrive; on the way back it is restarted, and the sink is killed.
 *
 * Invariant: everything owed is in the sink's files, once by the number it has in its lane, without gaps; by number it
 * is in the order in which the gateway made it; and results at the site are as quick as without the outage, while the
 * cloud is away and while what is owed goes out.
 *
 * OUTAGE_READINGS: how many readings arrive meanwhile (5,000).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import type { Result } from "../../src/base/result.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { moteStream } from "../support/daemon.ts";
import { atEnd, daemonAt, openSite, results, windowsOf } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";

const count = Number(process.env.OUTAGE_READINGS ?? 5_000);
const main = resolve(import.meta.dirname, "../../src/main.ts");

type Line = {
  readonly lane: string;
  readonly n: number;
  readonly ts: number;
  readonly source: { readonly mote: string };
};

/** A sink that writes files, as a process that can be killed. */
class SinkProcess {
  readonly dir = mkdtempSync(join(tmpdir(), "tidegate-sink-"));
  readonly #broker: string;
  #child: ChildProcess | undefined;

  constructor(broker: string) {
    this.#broker = broker;
  }

  /** Where gateways seal to, base64. */
  get dataKey(): string {
    return Buffer.from(openKeyRing({ dataDir: this.dir }).box.publicKey).toString("base64");
  }

  start(): void {
    const to = `ndjson:${join(this.dir, "out")}`;
    const words = ["sink", "--broker", this.#broker, "--data-dir", this.dir, "--to", to, "--trust-first-use"];
    this.#child = spawn(process.execPath, [main, ...words], { stdio: "ignore" });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }

  /** What is in the files of a stream and kind, in their order. */
  lines(series: string): Line[] {
    const out = join(this.dir, "out");
    const isOfSeries = (name: string) => name.startsWith(`${series}.`);
    const names = readdirSync(out).filter(isOfSeries).sort();
    const text = names.map((name) => readFileSync(join(out, name), "utf8")).join("");
    return text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  }
}

/** Numbers as runs, by lane: `rest 1-6350` when none is missing and none is there twice. */
function runsOf(lines: readonly Line[]): string[] {
  const runs: { lane: string; from: number; to: number }[] = [];
  for (const { lane, n } of [...lines].sort((a, b) => a.lane.localeCompare(b.lane) || a.n - b.n)) {
    const last = runs.at(-1);
    if (last?.lane === lane && n === last.to + 1) last.to = n;
    else runs.push({ lane, from: n, to: n });
  }
  return runs.map(({ lane, from, to }) => `${lane} ${from}-${to}`);
}

/** Median and 99th percentile, ms. */
function delaysOf(results: readonly Result[]): { median: number; p99: number; count: number } {
  const sorted = results.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { median: at(0.5), p99: at(0.99), count: sorted.length };
}

/** By number in the lane, times of each source never go back. */
function isInOrder(lines: readonly Line[]): boolean {
  const newest = new Map<string, number>();
  for (const { source, ts } of [...lines].sort((a, b) => a.n - b.n)) {
    if (ts <= (newest.get(source.mote) ?? 0)) return false;
    newest.set(source.mote, ts);
  }
  return true;
}

describeReal("an outage of the cloud", () => {
  it(
    `brings everything owed to the sink, once and in order, after ${count} readings without it`,
    async () => {
      const { broker, sensors, listener } = await openSite();
      const cloud = await startMosquitto();
      atEnd(() => cloud.stop());
      const sink = new SinkProcess(cloud.url);
      atEnd(async () => {
        await sink.kill();
        rmSync(sink.dir, { recursive: true, force: true });
      });
      const daemon = daemonAt(broker.url, {
        cloud: { url: cloud.url, dataKey: sink.dataKey },
        streams: { env: { ...moteStream, uplink: "results" }, log: { ...moteStream, model: undefined, uplink: "raw" } },
      });
      sink.start();
      await daemon.start();
      const owed = () => ({ results: windowsOf(sensors.sent), readings: sensors.sent });
      const arrived = () => ({ results: sink.lines("env.result").length, readings: sink.lines("log.raw").length });
      const resultsSince = (first: number): Result[] =>
        listener.messages
          .slice(first)
          .filter(({ topic }) => topic.startsWith("tidegate/gw-1/results/"))
          .map(({ text }) => JSON.parse(text) as Result);
      /** How late the results are that so many readings give, at 1,000 readings a second. */
      const during = async (readings: number) => {
        const first = listener.messages.length;
        const ending = new AbortController();
        const sending = sensors.run(1_000, ending.signal);
        const end = sensors.sent + readings;
        while (sensors.sent < end) await new Promise((done) => setTimeout(done, 5));
        ending.abort();
        await sending;
        await results(listener, windowsOf(sensors.sent), 60_000);
        return delaysOf(resultsSince(first));
      };
      await sensors.send(100);
      await expect.poll(arrived, { timeout: 15_000 }).toEqual(owed());
      const before = await during(1_000);
      await cloud.kill();
      const meanwhile = await during(count);

      const first = listener.messages.length;
      await cloud.restart();
      const ending = new AbortController();
      const sending = sensors.run(200, ending.signal);
      await expect.poll(() => arrived().results, { timeout: 90_000 }).toBeGreaterThan(windowsOf(1_100));
      await sink.kill();
      await new Promise((done) => setTimeout(done, 300));
      sink.start();
      await new Promise((done) => setTimeout(done, 500));
      await cloud.restart();
      ending.abort();
      await sending;

      await expect.poll(arrived, { timeout: 120_000, interval: 250 }).toEqual(owed());
      const draining = delaysOf(resultsSince(first));
      console.log(`results at the site, ms: ${JSON.stringify({ before, meanwhile, draining })}`);
      // Within what a machine that does other things, too, lets differ.
      expect(meanwhile.median).toBeLessThan(3 * before.median + 50);
      expect(draining.median).toBeLessThan(3 * before.median + 50);
      for (const [series, lanes, total] of [
        ["env.result", ["alarm", "rest"], owed().results],
        ["log.raw", ["raw"], owed().readings],
      ] as const) {
        const lines = sink.lines(series);
        expect(lines.length).toBe(total);
        for (const lane of lanes) {
          const inLane = lines.filter((line) => line.lane === lane);
          expect(runsOf(inLane)).toEqual(inLane.length === 0 ? [] : [`${lane} 1-${inLane.length}`]);
          expect(isInOrder(inLane), lane).toBe(true);
        }
      }
      // The sink's receipts empty the outbox.
      const outbox = async () => (await daemon.ask<{ outbox: { messages: number } }>("buffer.stats")).outbox.messages;
      await expect.poll(outbox, { timeout: 15_000 }).toBe(0);
    },
    300_000 + count * 10,
  );
});

import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { recommended, shipped } from "./broker-settings.ts";
import { type PeerRun, publish, pythonFault, runPeer, windowsOf } from "./clients.ts";
import { GatewayProcess, type GatewaySettings } from "./gateway-process.ts";
import { machine, median, type Report, type Row } from "./measure.ts";
import { compileSlowFsync } from "./slow-fsync.ts";

type GatewayRun = PeerRun & { readonly lost: number; readonly parts: { name: string; seconds: number }[] };

/** One run of the daemon over `count` readings, from the first one published to the last one on disk and inferred. */
export async function runGateway(
  count: number,
  settings: Omit<GatewaySettings, "url">,
  conf: readonly string[] = recommended,
): Promise<GatewayRun> {
  const broker = await startMosquitto({ conf });
  let gateway: GatewayProcess | undefined;
  try {
    gateway = await GatewayProcess.start({ ...settings, url: broker.url });
    const before = gateway.cpuSeconds();
    const finished = gateway.finished(count, windowsOf(count));
    const { startedAt } = await publish(broker.port, count, settings.qos ?? 0);
    const { status, at } = await finished;
    const used = gateway.cpuSeconds() - before;
    const parts = gateway.cpuByProcess();
    const { modelProcess } = await gateway.status();
    if (modelProcess.restarts > 0) throw new Error("the model process was restarted: its CPU time is not known");
    const stored = (await gateway.stats()).streams.env?.readings ?? 0;
    const done = Math.min(stored, status.inferences + count - windowsOf(count));
    return { count: done, seconds: (at - startedAt) / 1000, cpuSeconds: used, lost: count - done, parts };
  } finally {
    await gateway?.stop();
    await broker.stop();
  }
}

async function runBare(count: number, qos: 0 | 1, conf: readonly string[]): Promise<PeerRun> {
  const broker = await startMosquitto({ conf });
  try {
    return await runPeer("bare", broker, count, qos);
  } finally {
    await broker.stop();
  }
}

const perMessage = ({ cpuSeconds, count }: PeerRun): number => (cpuSeconds / count) * 1e6;
const perSecond = ({ count, seconds }: PeerRun): number => count / seconds;

/**
 * Runs all of them by turns, forwards and backwards: ratios are those of one round, so that what else the machine does
 * weighs on both sides. Returns the runs of each.
 */
async function byTurns<T extends Record<string, () => Promise<PeerRun>>>(rounds: number, work: T) {
  const names = Object.keys(work) as (keyof T)[];
  const runs = Object.fromEntries(names.map((name) => [name, []])) as unknown as {
    [K in keyof T]: Awaited<ReturnType<T[K]>>[];
  };
  for (let round = 0; round < rounds; round++)
    for (const name of round % 2 === 0 ? names : names.toReversed())
      runs[name].push((await work[name]?.()) as Awaited<ReturnType<T[typeof name]>>);
  return runs;
}

function compare(runs: readonly PeerRun[], others: readonly PeerRun[], figure: (run: PeerRun) => number) {
  return {
    value: median(runs.map(figure)),
    other: median(others.map(figure)),
    ratio: median(runs.map((run, i) => figure(run) / figure(others[i] as PeerRun))),
  };
}

const atLeast = (ratio: number, least: number) => ({ goal: `>= ${least} x`, met: ratio >= least });

/** CPU time and throughput of the whole path, beside what does less and what does the same worse. */
export async function ingest({ pairs, messages, say }: BenchOptions): Promise<Report> {
  const rows: Row[] = [];
  const notes: string[] = [];
  const count = messages ?? 150_000;
  const bare0 = () => runBare(count, 0, recommended);
  const bare1 = () => runBare(count, 1, recommended);
  const add = (row: Row) => {
    rows.push(row);
    say(row);
  };
  const lossOf = (what: string, runs: readonly GatewayRun[]) => {
    const lost = runs.reduce((sum, run) => sum + run.lost, 0);
    if (lost > 0) notes.push(`${what}: ${lost} of ${runs.length * count} messages were not stored or not inferred.`);
  };

  const { change, bare, all } = await byTurns(pairs, {
    change: () => runGateway(count, {}),
    bare: bare0,
    all: () => runGateway(count, { publish: "all" }),
  });
  lossOf("QoS 0", change);
  const cpu = compare(change, bare, perMessage);
  add({ what: "bare subscriber, QoS 0: CPU per message", value: cpu.other, unit: "us" });
  add({
    ...{ what: "QoS 0, results on change: CPU per message", value: cpu.value, unit: "us", against: "bare" },
    ...{ ratio: cpu.ratio, goal: "<= 2 x", met: cpu.ratio <= 2 },
  });
  const split = change[0]?.parts.map(({ name, seconds }) => `${name} ${seconds.toFixed(2)} s`);
  notes.push(`CPU time by process in the first run, start included: ${split?.join(", ")}.`);
  const speed = compare(change, bare, perSecond);
  add({ what: "bare subscriber, QoS 0: throughput", value: Math.round(speed.other), unit: "msg/s" });
  add({
    ...{ what: "QoS 0, results on change: throughput", value: Math.round(speed.value), unit: "msg/s" },
    ...{ against: "bare", ratio: speed.ratio, ...atLeast(speed.ratio, 0.9) },
  });

  lossOf("QoS 0, every result published", all);
  const published = compare(all, bare, perSecond);
  add({
    ...{ what: "QoS 0, every result published: throughput", value: Math.round(published.value), unit: "msg/s" },
    ...{ against: "bare", ratio: published.ratio, ...atLeast(published.ratio, 0.4) },
  });

  const acks = await byTurns(pairs, { full: () => runGateway(count, { qos: 1 }), bare: bare1 });
  lossOf("QoS 1", acks.full);
  const acked = compare(acks.full, acks.bare, perSecond);
  add({ what: "bare subscriber with its own acks, QoS 1: throughput", value: Math.round(acked.other), unit: "msg/s" });
  add({
    ...{ what: "QoS 1, acks after fsync: throughput", value: Math.round(acked.value), unit: "msg/s", against: "bare" },
    ...{ ratio: acked.ratio, ...atLeast(acked.ratio, 0.8) },
  });

  const slow = compileSlowFsync();
  if (!slow) notes.push("No C compiler: the rows with added fsync delay are left out.");
  for (const ms of slow ? [5, 20, 100] : []) {
    const run = await runGateway(count, { qos: 1, env: slow?.env(ms) ?? {} });
    if (run.lost > 0) notes.push(`QoS 1, fsync + ${ms} ms: ${run.lost} of ${count} were not stored or not inferred.`);
    add({
      ...{ what: `QoS 1, fsync + ${ms} ms: throughput`, value: Math.round(perSecond(run)), unit: "msg/s" },
      ...{ against: "bare", ratio: perSecond(run) / acked.other },
    });
  }
  for (const ms of slow ? [0, 5, 20, 100] : [0]) {
    const run = await runGateway(count, { qos: 1, env: slow && ms > 0 ? slow.env(ms) : {} }, shipped);
    const other = await runBare(count, 1, shipped);
    add({
      what: `QoS 1, broker as shipped${ms > 0 ? `, fsync + ${ms} ms` : ""}: throughput`,
      ...{
        value: Math.round(perSecond(run)),
        unit: "msg/s",
        against: "bare",
        ratio: perSecond(run) / perSecond(other),
      },
    });
  }
  slow?.remove();
  await scripts(notes, speed.value, add);
  return { name: "ingest", machine: machine(), rows, notes };
}

/** What one would write instead, in the same run; fewer messages, since they are slow and their speed is steady. */
async function scripts(notes: string[], gateway: number, add: (row: Row) => void): Promise<void> {
  const broker = await startMosquitto({ conf: recommended });
  try {
    const plain = await runPeer("plain", broker, 20_000);
    add({
      ...{ what: "plain Node script: throughput", value: Math.round(perSecond(plain)), unit: "msg/s" },
      ...{ against: "by Tidegate", ratio: gateway / perSecond(plain) },
    });
    const fault = pythonFault();
    if (fault !== null) {
      notes.push(`The Python script is left out: ${fault}.`);
      return;
    }
    const python = await runPeer("python", broker, 20_000);
    const ratio = gateway / perSecond(python);
    add({
      ...{ what: "Python script: throughput", value: Math.round(perSecond(python)), unit: "msg/s" },
      ...{ against: "by Tidegate", ratio, ...atLeast(ratio, 3) },
    });
  } finally {
    await broker.stop();
  }
}

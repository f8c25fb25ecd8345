import { closeSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { Config } from "../../config/config.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { open, seal } from "../../crypto/sealing.ts";
import { transformedFields } from "../../gateway/streams.ts";
import { bindStream } from "../../inference/binding.ts";
import { headBytes } from "../../inference/framing.ts";
import type { HostedModel } from "../../inference/hosted-model.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { Registry } from "../../inference/registry.ts";
import { siteTopics } from "../../wire/topics.ts";
import { visitSite } from "../site/visitor.ts";
import type { Io } from "../verb.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";
import { nearestFolder } from "./storage.ts";

const syncs = 100;
const commitBytes = 8_192;
const blockBytes = 65_536;
const sealMs = 200;
const batch = 256;
const runMs = 500;
const roundTrips = 50;

/** Measures what the gateway's speed is made of on this machine: disk, sealing, models, the way to the broker. */
export async function bench(io: Io, loaded: LoadedConfig): Promise<Finding[]> {
  const { config } = loaded;
  // One after the other: together they would measure each other.
  return [benchDisk(config), benchSealing(), ...(await benchModels(config, io.signal)), await benchBroker(io, loaded)];
}

function benchDisk({ gateway }: Pick<Config, "gateway">): Finding {
  const name = "bench disk";
  const dir = nearestFolder(gateway.dataDir);
  const file = join(dir, `.bench-${process.pid}.lock`);
  try {
    const descriptor = openSync(file, "wx", 0o600);
    try {
      const times = timesOf(syncs, () => {
        writeSync(descriptor, Buffer.alloc(commitBytes, 0x5a));
        fsyncSync(descriptor);
      });
      return ok(name, `${dir}: ${syncs} commits of 8 KiB with fsync: ${spread(times)}`);
    } finally {
      closeSync(descriptor);
    }
  } catch (thrown) {
    return { name, level: "fail", detail: String(thrown), remedy: "Run this as the user that runs Tidegate." };
  } finally {
    rmSync(file, { force: true });
  }
}

function benchSealing(): Finding {
  const key = new Uint8Array(32).fill(7);
  const block = new Uint8Array(blockBytes).fill(1);
  const sealed = seal(block, key);
  const small = new Uint8Array(100);
  const sealing = perSecond(() => seal(block, key)) * blockBytes;
  const opening = perSecond(() => open(sealed, key)) * blockBytes;
  const pieceUs = 1e6 / perSecond(() => seal(small, key));
  return ok(
    "bench sealing",
    `seals ${megabytes(sealing)}, opens ${megabytes(opening)} (64 KiB blocks); a piece of 100 bytes takes ${pieceUs.toFixed(1)} µs`,
  );
}

/** Each model once, with the window of the first stream that uses it. */
async function benchModels({ streams, models, gateway }: Config, signal: AbortSignal): Promise<Finding[]> {
  const uses = new Map(Object.entries(streams).flatMap(([name, { model }]) => (model ? [[model, name]] : [])));
  if (uses.size === 0) return [];
  const registry = new Registry({ dirs: [join(gateway.dataDir, "models"), models.dir] });
  const { threads, maxBatch, providers } = models;
  const host = new ModelHost({ clock: systemClock, log: silentLog, threads, maxBatch, providers });
  const findings: Finding[] = [];
  try {
    await host.start(signal);
    for (const [model, stream] of uses)
      try {
        const bundle = await registry.open(model);
        const config = streams[stream] as Config["streams"][string];
        const shape = { size: config.window?.size, everyMs: config.every };
        const fields = bindStream(bundle.card, stream, transformedFields(config), shape);
        const width = (config.window?.size ?? bundle.card.window?.size ?? 1) * fields.length;
        findings.push(await benchModel(host, await host.load(bundle), width));
      } catch (thrown) {
        findings.push(fail(`bench model ${model}`, thrown));
      }
  } catch (thrown) {
    findings.push(fail("bench models", thrown));
  } finally {
    await host.stop(2_000);
  }
  return findings;
}

/** The time of a batch on its way to the model process and back, as the gateway sees it. */
async function benchModel(host: ModelHost, model: HostedModel, width: number): Promise<Finding> {
  const medianOf = async (count: number): Promise<number> => {
    const frame = new Uint8Array(headBytes + count * width * 4);
    const times: number[] = [];
    for (const end = performance.now() + runMs; performance.now() < end || times.length < 5; ) {
      const start = performance.now();
      await host.run(model, frame, count, width, () => {});
      times.push(performance.now() - start);
    }
    return median(times);
  };
  const [one, many] = [await medianOf(1), await medianOf(batch)];
  const perRow = (many / batch) * 1_000;
  return ok(
    `bench model ${model.name}`,
    `a window alone ${milliseconds(one)}; ${perRow.toFixed(1)} µs each in batches of ${batch}: ${Math.round(1e6 / perRow).toLocaleString("en-US")} windows/s`,
  );
}

/** QoS 1 messages from here to the broker and its answers back, one at a time; nothing is kept there. */
async function benchBroker(io: Io, loaded: LoadedConfig): Promise<Finding> {
  const name = "bench site broker";
  try {
    const { link, leave } = await visitSite(io, loaded, [], () => {});
    try {
      const topic = `${siteTopics(loaded.config.gateway.id).prefix}check`;
      const times: number[] = [];
      for (let i = 0; i < roundTrips; i++) {
        const start = performance.now();
        const { reason } = await link.publish(topic, "check", { qos: 1 });
        times.push(performance.now() - start);
        if (reason >= 128)
          return warn(name, `the broker refuses ${topic} (${reason})`, "Let the gateway publish below its own topic.");
      }
      return ok(name, `${roundTrips} messages with QoS 1, there and back: ${spread(times)}`);
    } finally {
      await leave();
    }
  } catch (thrown) {
    return fail(name, thrown);
  }
}

function timesOf(count: number, work: () => void): number[] {
  return Array.from({ length: count }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  });
}

function perSecond(work: () => unknown): number {
  work();
  let done = 0;
  const start = performance.now();
  for (; performance.now() - start < sealMs; done++) work();
  return (done * 1_000) / (performance.now() - start);
}

const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b);
const median = (values: readonly number[]): number => sorted(values)[values.length >> 1] ?? 0;
const milliseconds = (ms: number): string => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB/s`;

function spread(times: readonly number[]): string {
  const ascending = sorted(times);
  const at = (share: number) => milliseconds(ascending[Math.floor(ascending.length * share)] ?? 0);
  return `median ${at(0.5)}, p90 ${at(0.9)}, worst ${milliseconds(ascending.at(-1) ?? 0)}`;
}

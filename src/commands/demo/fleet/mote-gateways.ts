import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { sleep } from "../../../base/lifecycle.ts";
import type { Log } from "../../../base/log.ts";
import type { Result } from "../../../base/result.ts";
import { loadConfig } from "../../../config/load.ts";
import { openKeyRing } from "../../../crypto/key-ring.ts";
import { Gateway } from "../../../gateway.ts";
import { Link } from "../../../wire/link.ts";
import { packageVersion } from "../../version.ts";
import { replayMotes } from "../replay.ts";
import type { FleetGround } from "./fleet-demo.ts";
import type { MotePart, MoteTask } from "./mote-task.ts";

export type MoteGateways = { readonly gateways: readonly Gateway[]; readonly sent: number };

const lookMs = 20;

/**
 * Whole gateways, as `tidegate run` has them: each with its journal, its model in a process of its own, and its part of
 * the motes' readings, which are published on the site's broker as the sensors did. Members of the fleet when it resolves.
 */
export async function startMoteGateways(
  task: MoteTask,
  ground: FleetGround,
  {
    siteUrl,
    onResult,
    signal,
    log,
  }: {
    readonly siteUrl: string;
    onResult(result: Result): void;
    readonly signal: AbortSignal;
    readonly log: Log;
  },
): Promise<MoteGateways> {
  const { fleet, stops } = ground;
  const gateways: Gateway[] = [];
  stops.push(() => Promise.all(gateways.map((gateway) => gateway.stop(5_000))));
  await Promise.all(
    task.parts.map(async (part) => {
      const dir = join(ground.dir, part.id);
      mkdirSync(dir, { recursive: true });
      const file = join(dir, "tidegate.yaml");
      writeFileSync(join(dir, "policy.yaml"), policy(fleet.publicKey));
      const { config } = loadConfig({ text: configuration(part.id, siteUrl, ground.url), baseDir: dir, file });
      const keys = openKeyRing({ dataDir: config.gateway.dataDir });
      const gateway = new Gateway({ config, keys, version: packageVersion(), clock: systemClock, log, onResult });
      await fleet.enrol(part.id, keys.signer.publicKey);
      await gateway.start(signal);
      gateways.push(gateway);
    }),
  );
  const sent = await replay(task.parts, gateways, { siteUrl, signal, log });
  return { gateways, sent };
}

async function replay(
  parts: readonly MotePart[],
  gateways: readonly Gateway[],
  { siteUrl, signal, log }: { readonly siteUrl: string; readonly signal: AbortSignal; readonly log: Log },
): Promise<number> {
  const sensors = new Link({
    name: "motes",
    settings: { url: siteUrl, protocol: "3.1.1", receiveMaximum: 1_000, sessionExpiry: 0, keepalive: 30_000 },
    clientId: "demo-motes",
    credentials: {},
    subscriptions: [],
    ack: "auto",
    maxPacket: 65_536,
    onMessage: () => {},
    clock: systemClock,
    log,
    random: Math.random,
  });
  await sensors.start();
  try {
    while (!signal.aborted && !(sensors.state.isOnline && gateways.every((gateway) => gateway.status().site?.isOnline)))
      await sleep(lookMs, signal);
    const taken = () => gateways.reduce((sum, gateway) => sum + (gateway.status().streams.env?.readings ?? 0), 0);
    let sent = 0;
    for (const { id, readings } of parts) {
      const before = sent;
      const publish = (topic: string, payload: string) => sensors.publish(`${id}/${topic}`, payload, { qos: 1 });
      sent += await replayMotes(readings, { speed: 0, publish, taken: () => taken() - before, signal });
    }
    while (!signal.aborted && taken() < sent) await sleep(lookMs, signal);
    for (const gateway of gateways) await gateway.settle();
    return sent;
  } finally {
    await sensors.stop(1_000);
  }
}

const policy = (coordinator: Uint8Array): string => `principals:
  cloud: { keys: ["${Buffer.from(coordinator).toString("base64")}"], roles: [coordinator] }
rules:
  - { allow: [round.start], roles: [coordinator] }
`;

/** As a user would write it; gates are open, since everything runs on one machine and is waited for. */
const configuration = (id: string, siteUrl: string, cloudUrl: string): string => `version: 1
gateway: { id: ${id}, fleet: demo, dataDir: data, logLevel: warn }
sensors: { url: "${siteUrl}" }
cloud: { url: "${cloudUrl}" }
policy: policy.yaml
federation: { models: [mote-anomaly] }
training: { minMemory: 1MiB, maxLoad: 100, minReadings: 100 }
buffer: { commitMaxDelay: 200ms, minFree: 1% }
streams:
  env:
    topic: "${id}/motes/{mote}/env"
    codec: json
    fields:
      humidity: { path: humidity, unit: "%" }
      temperature: { path: temperature, unit: "°C" }
    timestamp: ts
    model: mote-anomaly
    alarm: { onAfter: 1, offAfter: 16, silentAfter: 0s }
    publish: { when: change, retain: false, minInterval: 0s }
`;

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sleep } from "../../base/lifecycle.ts";
import { vectorOfBytes } from "../../coordinator/bundle-weights.ts";
import { startBroker } from "../../drivers/aedes.ts";
import { createLog } from "../../ops/log.ts";
import { writeUntrained } from "../demo/fleet/learning-task.ts";
import type { CrowdCounts } from "./crowd.ts";
import { gatherCrowd, simulatedModel } from "./crowd-children.ts";
import { LocalFleet } from "./local-fleet.ts";
import type { Misconduct } from "./misconduct.ts";
import { commonOptimum, distanceTo } from "./quadratic.ts";

export type SimulationOptions = {
  readonly gateways: number;
  readonly rounds: number;
  readonly parameters: number;
  readonly processes: number | undefined;
  readonly seed: number;
  readonly misconduct: Misconduct;
  /** Absent: one in this process. */
  readonly broker: string | undefined;
  /** Of the coordinator's settings for the model. */
  readonly model: Record<string, unknown>;
  readonly signal: AbortSignal;
  onRound?(round: SimulatedRound): void;
};

export type SimulatedRound = {
  readonly round: number;
  readonly accepted: number;
  readonly bytesUp: number;
  readonly denseBytes: number;
  /** Distance of the version that it made to what the honest fleet would agree on, as a part of the start's. */
  readonly distance: number;
  readonly durationMs: number;
};

export type SimulationOutcome = {
  readonly gateways: number;
  readonly processes: number;
  readonly rounds: readonly SimulatedRound[];
  /** How rounds ended for gateways, by state. */
  readonly ends: CrowdCounts["ends"];
  /** What the coordinator has heard, and why it refused what it refused. */
  readonly updates: { readonly accepted: number; readonly duplicates: number; readonly unopened: number };
  readonly refused: Readonly<Record<string, number>>;
  readonly sentBytes: number;
  readonly durationMs: number;
};

const fleetName = "simulation";
const maxPayload = 122_880;
const settleMs = 500;

/**
 * Many gateways in few processes around a coordinator of its own: connections, documents, selection, parts, seals, signatures
 * and receipts are those of a real fleet; what is learned is a problem whose answer is known.
 */
export async function simulateFleet(options: SimulationOptions): Promise<SimulationOutcome> {
  const start = performance.now();
  const dir = mkdtempSync(join(tmpdir(), "tidegate-simulation-"));
  const stops: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true, maxRetries: 3 })];
  try {
    return { ...(await simulate(options, dir, stops)), durationMs: Math.round(performance.now() - start) };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function simulate(
  options: SimulationOptions,
  dir: string,
  stops: (() => Promise<unknown>)[],
): Promise<Omit<SimulationOutcome, "durationMs">> {
  const { gateways, rounds, parameters, seed, misconduct, model, signal, onRound } = options;
  const url = options.broker ?? (await ownBroker(stops));
  const optimum = commonOptimum(parameters, seed);
  const told: SimulatedRound[] = [];
  let began = performance.now();
  const bundle = await writeUntrained(join(dir, "models"), simulatedModel(parameters));
  const fleet = new LocalFleet({
    ...{ url, fleet: fleetName, dir: join(dir, "coordinator"), bundle, model },
    onRound: async ({ round, version, updates, bytesUp, denseBytes }) => {
      const distance = distanceTo(optimum, vectorOfBytes(version.weights));
      const durationMs = Math.round(performance.now() - began);
      began = performance.now();
      const line = { round, accepted: updates.length, bytesUp, denseBytes, distance, durationMs };
      told.push(line);
      onRound?.(line);
      return { distance };
    },
    log: createLog({ level: "error" }),
  });
  await fleet.start(signal);
  stops.push(() => fleet.stop());
  const plan = {
    ...{ url, fleet: fleetName, model: bundle.name, length: parameters, gateways, seed, misconduct, maxPayload },
    ...{ trusted: fleet.publicKey, dir: join(dir, "gateways") },
  };
  const crowd = await gatherCrowd(plan, options.processes, stops);
  for (const { id, key } of crowd.keys) await fleet.enrol(id, key);
  await Promise.all(crowd.children.map((child) => child.start()));
  began = performance.now();
  await fleet.run(rounds, signal);
  // The last receipts are on their way.
  await sleep(settleMs, signal);
  const counts = await Promise.all(crowd.children.map((child) => child.counts()));
  const { accepted, duplicates, unopened } = fleet.coordinator.intake.counters;
  return {
    ...{ gateways, processes: crowd.children.length, rounds: told, ends: sumOf(counts.map(({ ends }) => ends)) },
    ...{ updates: { accepted, duplicates, unopened }, refused: { ...fleet.coordinator.intake.refused } },
    sentBytes: counts.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
  };
}

async function ownBroker(stops: (() => Promise<unknown>)[]): Promise<string> {
  const broker = await startBroker();
  stops.push(() => broker.stop());
  return broker.url;
}

function sumOf(parts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const part of parts) for (const [name, value] of Object.entries(part)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}

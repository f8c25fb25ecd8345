import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ModelVersion } from "../../../coordinator/coordinator-store.ts";
import { startBroker } from "../../../drivers/aedes.ts";
import { createLog } from "../../../ops/log.ts";
import { type FinishedRound, LocalFleet } from "../../simulation/local-fleet.ts";
import type { Io } from "../../verb.ts";
import { type Comparison, compare, versionLoss } from "./comparison.ts";
import { type RoundLine, renderComparison, renderRound } from "./fleet-screen.ts";
import type { LearningTask } from "./learning-task.ts";

/** Where a fleet's gateways find each other, and what is to be stopped at the end, last first. */
export type FleetGround = {
  readonly dir: string;
  readonly url: string;
  readonly fleet: LocalFleet;
  readonly stops: (() => Promise<unknown>)[];
};

export type FleetDemoOptions<Task extends LearningTask, More> = {
  readonly io: Io;
  readonly isJson: boolean;
  readonly rounds: number | undefined;
  makeTask(dir: string): Promise<Task>;
  /** Resolves when all gateways are members and have what they learn from. */
  startMembers(task: Task, ground: FleetGround): Promise<unknown>;
  /** What else the answer says, before the gateways stop. */
  finish(task: Task, newest: ModelVersion): Promise<More>;
};

/** What `demo --fleet --json` says of the learning; scripts rely on these keys. */
export type FleetSummary = {
  readonly rounds: readonly RoundLine[];
  /** Null when it was broken off. */
  readonly metrics: Pick<Comparison, "local" | "federated" | "centralized"> | null;
  readonly alone: Comparison["alone"];
  readonly durationMs: number;
};

/** A coordinator, a broker and gateways on this machine, that learn a task together; then the same without a fleet. */
export async function fleetDemo<Task extends LearningTask, More extends object>(
  options: FleetDemoOptions<Task, More>,
): Promise<FleetSummary & More> {
  const start = performance.now();
  const dir = mkdtempSync(join(tmpdir(), "tidegate-fleet-"));
  const stops: (() => Promise<unknown>)[] = [async () => rmSync(dir, { recursive: true, force: true })];
  try {
    const told = await play(options, dir, stops);
    return { ...told, durationMs: Math.round(performance.now() - start) };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function play<Task extends LearningTask, More extends object>(
  { io, isJson, rounds, makeTask, startMembers, finish }: FleetDemoOptions<Task, More>,
  dir: string,
  stops: (() => Promise<unknown>)[],
): Promise<Omit<FleetSummary, "durationMs"> & More> {
  const say = (line: string): void => (isJson ? io.err(line) : io.out(line));
  const made = await makeTask(join(dir, "models"));
  const task: Task = { ...made, rounds: rounds ?? made.rounds };
  const gateways = task.parts.length;
  const broker = await startBroker();
  stops.push(() => broker.stop());
  const lines: RoundLine[] = [];
  const finished = async ({ round, version, updates, bytesUp, denseBytes, bytesDown }: FinishedRound) => {
    const loss = await versionLoss(task, version);
    const own = Object.fromEntries(updates.map(({ gateway, metrics }) => [gateway, metrics.loss ?? Number.NaN]));
    const line = { round, loss, bytesUp, denseBytes, bytesDown: gateways * bytesDown, gateways: own };
    lines.push(line);
    say(renderRound(line));
    return { heldBack: loss };
  };
  const fleet = new LocalFleet({
    ...{ url: broker.url, fleet: "demo", dir: join(dir, "coordinator"), bundle: task.bundle },
    model: {
      ...task.settings,
      training: task.training,
      quorum: { min: gateways, target: gateways },
    },
    onRound: finished,
    log: createLog({ level: "warn" }),
  });
  await fleet.start(io.signal);
  stops.push(() => fleet.stop());
  say(`${task.title}: ${gateways} gateways, ${task.rounds} rounds`);
  for (const { id, from } of task.parts.slice(0, 8)) say(`  ${id}: ${from}`);
  await startMembers(task, { dir, url: broker.url, fleet, stops });
  await fleet.run(task.rounds, io.signal);
  const version = await fleet.newest();
  // Whoever breaks it off gets what there is.
  if (io.signal.aborted) return { rounds: lines, metrics: null, alone: [], ...(await finish(task, version)) };
  const told = await compare(task, { version, loss: lines.at(-1)?.loss ?? Number.NaN }, io.signal);
  for (const line of renderComparison(lines, told, task.measure)) say(line);
  const { local, federated, centralized, alone } = told;
  const more = await finish(task, version);
  return { rounds: lines, metrics: { local, federated, centralized }, alone, ...more };
}

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import { writeUntrained } from "../../src/commands/demo/fleet/learning-task.ts";
import { gatherCrowd, simulatedModel } from "../../src/commands/simulation/crowd-children.ts";
import { digits, LightTrainer, partition } from "../../src/commands/simulation/digits.ts";
import { DigitsFleet, digitsName } from "../../src/commands/simulation/digits-fleet.ts";
import { noMisconduct } from "../../src/commands/simulation/misconduct.ts";
import { vectorOfBytes } from "../../src/coordinator/bundle-weights.ts";
import { Accumulator } from "../../src/federated/accumulator.ts";
import { addBy } from "../../src/federated/aggregation.ts";
import { codecHeaderSchema } from "../../src/federated/codec-header.ts";
import { rules } from "../../src/federated/rules/rule-table.ts";
import { isSelected } from "../../src/federated/selection.ts";
import { decodeBody, encodeBody } from "../../src/federated/update-body.ts";
import { updateSpace } from "../../src/federated/update-space.ts";
import { hashOfWeights } from "../../src/train/averaged-weights.ts";
import { CoordinatorProcess } from "../support/coordinator-process.ts";
import { startMosquitto } from "../support/mosquitto.ts";
import type { BenchOptions } from "./bench-options.ts";
import { simulate } from "./fleet-maths/simulation.ts";
import { machine, type Report, type Row } from "./measure.ts";

const members = 1_000;
const parameters = 199_210;
const maxPayload = 122_880;
const memoryGoal = 256;
const ways = {
  compressed: { codec: "sign", support: "listed", share: 0.02 },
  dense: { codec: "plain", support: "dense" },
} as const;

/**
 * Rounds through a real mosquitto: what a coordinator takes for a thousand updates, and that learning over the broker gives
 * the bytes that `fleet-maths` gives without one.
 */
export async function fleet({ pairs: rounds, only, say }: BenchOptions): Promise<Report> {
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    say(row);
  };
  for (const name of ["compressed", "dense"] as const)
    if (only === undefined || only === name) for (const row of await thousand(name)) add(row);
  if (only === undefined || only === "learning") for (const row of await learning(rounds)) add(row);
  return { name: "fleet", machine: machine(), rows };
}

/** One round of a thousand gateways, with the coordinator as a process of its own. */
async function thousand(name: keyof typeof ways): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const broker = await startMosquitto({ conf: ["max_queued_messages 0", "max_inflight_messages 0"] });
  const bundle = await writeUntrained(join(dir, "models"), simulatedModel(parameters));
  const coordinator = new CoordinatorProcess({
    ...{ fleet: "bench", broker: broker.url, lease: "60s", logLevel: "info" },
    models: {
      [bundle.name]: {
        ...{
          bundle: bundle.dir,
          codec: ways[name],
          training: { learningRate: 0.5 },
          strategy: "fedavg",
          deadline: "15m",
        },
        quorum: { min: members, target: members, overSelection: 1 },
      },
    },
  });
  const stops: (() => Promise<unknown>)[] = [];
  try {
    // As `bin/tidegate` starts it.
    await coordinator.start("leading", [], ["--max-semi-space-size=2", "--heap-growing-percent=50"]);
    const plan = {
      ...{ url: broker.url, fleet: "bench", model: bundle.name, length: parameters, gateways: members, seed: 1 },
      ...{ misconduct: noMisconduct, maxPayload, trusted: coordinator.publicKey, dir: join(dir, "gateways") },
    };
    const crowd = await gatherCrowd(plan, 2, stops);
    for (const { id, key } of crowd.keys)
      await coordinator.ask("fleet.enroll", { gateway: id, key: Buffer.from(key).toString("base64") });
    await Promise.all(crowd.children.map((child) => child.start()));
    const start = performance.now();
    await coordinator.ask("fleet.rounds.start", { model: bundle.name, rounds: 1 });
    const published = ({ models }: { models: readonly { state: string | null }[] }) => models[0]?.state === "published";
    await coordinator.until(published, "published the round", 900_000);
    const seconds = (performance.now() - start) / 1_000;
    const memory = peakMegabytes(coordinator.pid);
    const summed = secondsToSum(name);
    const what = `${members} gateways, ${parameters} parameters, ${name}`;
    return [
      {
        what: `${what}: one round`,
        value: seconds,
        unit: "s",
        against: "summing the same arrays",
        ratio: seconds / summed,
      },
      { what: `${what}: summing the same arrays in memory`, value: summed, unit: "s" },
      {
        ...{ what: `${what}: largest memory of the coordinator`, value: memory, unit: "MB" },
        ...{ goal: `<= ${memoryGoal}`, met: memory <= memoryGoal },
      },
    ];
  } finally {
    for (const stop of stops.reverse()) await stop();
    await coordinator.remove();
    await broker.stop();
    rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Peak of the resident set, MB (10^6 bytes). */
const peakMegabytes = (pid: number): number =>
  (Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024) / 1e6;

/** Reads a thousand such bodies and sums them, with nothing around it. */
function secondsToSum(name: keyof typeof ways): number {
  const { share = 1, ...how } = { share: 1, ...ways[name] };
  const dense = how.support === "dense";
  const header = codecHeaderSchema.parse({
    ...{ clip: 8, scale: 2 ** 27, modulus: 0, weight: "uniform", maxWeight: 1, noise: 0, ...how },
    ...(dense ? { bits: 32 } : { bits: 1, keep: Math.ceil(share * parameters) }),
  });
  const space = updateSpace({ header, length: parameters });
  const random = seededRandom(1);
  const body = encodeBody(
    Float32Array.from({ length: parameters }, () => random() - 0.5),
    space,
    random,
  );
  const sum = new Accumulator(parameters);
  const start = performance.now();
  for (let n = 0; n < members; n++)
    addBy(rules.mean, sum, { body: decodeBody(body, space), weight: 1 }, space, { norm: 1, trim: 0, attackers: 0 });
  sum.mean(header.scale);
  return (performance.now() - start) / 1_000;
}

/** McMahan's perceptron over the broker and without one: the same versions, byte by byte. */
async function learning(rounds: number): Promise<Row[]> {
  const seed = 1;
  const training = { epochs: 1, batch: 10, learningRate: 0.1 };
  const fraction = 0.1;
  const train = digits("train");
  const trainer = await LightTrainer.open({ train, test: digits("t10k"), batch: training.batch, mu: 0 });
  const parts = partition(train, 100, "iid", seed);
  const broker = await startMosquitto();
  const dir = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  mkdirSync(dir, { recursive: true });
  const overBroker: { hash: string; accuracy: number }[] = [];
  const start = performance.now();
  const signal = new AbortController().signal;
  const fleet = await DigitsFleet.start({
    ...{ url: broker.url, dir, trainer, parts, fraction, seed, training, signal, log: silentLog },
    model: { strategy: "fedavg", codec: { codec: "plain", support: "dense", clip: 32 }, downlink: { codec: "plain" } },
    onRound: async ({ version }) => {
      const weights = vectorOfBytes(version.weights);
      overBroker.push({ hash: hashOfWeights(weights), accuracy: await trainer.accuracy(weights) });
      return {};
    },
  });
  try {
    await fleet.run(rounds);
  } finally {
    await fleet.stop();
    await broker.stop();
    rmSync(dir, { recursive: true, force: true });
  }
  const seconds = (performance.now() - start) / 1_000;
  const without = await simulate({
    ...{ trainer, parts, seed, rounds, selected: 10, epochs: 1, rate: training.learningRate },
    ...{
      strategy: "fedavg",
      rule: "mean",
      up: { codec: "plain", support: "dense", bits: 32, share: 1, clip: 32, scale: 2 ** 25 },
    },
    select: (round, weights) => {
      const drawing = { round, fraction, base: { hash: hashOfWeights(weights) }, quorum: { overSelection: 1 } };
      return parts.flatMap((_, i) =>
        isSelected(digitsName(i), drawing as Parameters<typeof isSelected>[1]) ? [i] : [],
      );
    },
  });
  await trainer.release();
  const same = without.filter(({ hash }, i) => hash === overBroker[i]?.hash).length;
  return [
    { what: `perceptron, 100 gateways, ${rounds} rounds over mosquitto`, value: seconds, unit: "s" },
    {
      ...{ what: "versions with the bytes that the mathematics alone gives", value: same, unit: `of ${rounds}` },
      ...{ goal: "all", met: same === rounds },
    },
    {
      what: "accuracy of the last version, over mosquitto",
      value: 100 * (overBroker.at(-1)?.accuracy ?? 0),
      unit: "%",
    },
    { what: "the same without a broker", value: 100 * (without.at(-1)?.accuracy ?? 0), unit: "%" },
  ];
}

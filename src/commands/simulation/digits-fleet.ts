import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { threefry } from "../../base/counter-random.ts";
import { sleep } from "../../base/lifecycle.ts";
import { type Log, silentLog } from "../../base/log.ts";
import { seededRandom } from "../../base/random.ts";
import { isSelected } from "../../federated/selection.ts";
import { type Bundle, openBundle } from "../../inference/bundle.ts";
import { encodeModel } from "../../onnx/model-file.ts";
import { type LightTrainer, perceptron } from "./digits.ts";
import { changeLearner } from "./learner.ts";
import { LightGateway } from "./light-gateway.ts";
import { type FinishedRound, LocalFleet } from "./local-fleet.ts";
import { noMisconduct, traitsOf } from "./misconduct.ts";

export type DigitsFleetOptions = {
  readonly url: string;
  readonly dir: string;
  readonly trainer: LightTrainer;
  /** Examples of each gateway. */
  readonly parts: readonly Int32Array[];
  /** Share of the gateways that is drawn in a round. */
  readonly fraction: number;
  readonly seed: number;
  readonly training: { readonly epochs: number; readonly batch: number; readonly learningRate: number };
  /** Of the coordinator's settings, beside what follows from the rest. */
  readonly model: Record<string, unknown>;
  onRound(round: FinishedRound): Promise<Record<string, number>>;
  readonly signal: AbortSignal;
  readonly log: Log;
};

const maxPayload = 122_880;
const lookMs = 10;
export const digitsName = (gateway: number): string => `gw-${String(gateway + 1).padStart(4, "0")}`;

/** Simulated gateways that learn digits over a broker: one training graph for all, everything else is each one's own. */
export class DigitsFleet {
  readonly fleet: LocalFleet;
  readonly #options: DigitsFleetOptions;
  readonly #gateways: readonly LightGateway[];

  private constructor(options: DigitsFleetOptions, bundle: Bundle) {
    const { url, dir, parts, trainer, seed, training, model, onRound, log, fraction } = options;
    this.#options = options;
    const quorum = { min: 1, target: parts.length, overSelection: 1 };
    this.fleet = new LocalFleet({
      ...{ url, fleet: "digits", dir: join(dir, "coordinator"), bundle, onRound, log },
      model: { ...model, training: { ...training, seed }, fraction, quorum },
    });
    const traits = traitsOf(1, seed, noMisconduct)[0] as ReturnType<typeof traitsOf>[number];
    const { epochs, learningRate: rate } = training;
    let first: LightGateway | undefined;
    this.#gateways = parts.map((examples, i) => {
      const id = digitsName(i);
      const gateway: LightGateway = new LightGateway({
        ...{ id, url, fleet: "digits", model: bundle.name, trusted: [this.fleet.publicKey], dir: join(dir, id) },
        learner: changeLearner(async ({ base, round: { round } }) => {
          const change = await trainer.change(base, examples, { epochs, rate, seed: mix(seed, round, 3 + i) });
          return { change, loss: null, examples: examples.length };
        }),
        ...{ traits, random: seededRandom(seed + i), maxPayload, onStanding: () => {}, log: silentLog },
        ...(first ? { bases: first.bases } : {}),
      });
      first ??= gateway;
      return gateway;
    });
  }

  static async start(options: DigitsFleetOptions): Promise<DigitsFleet> {
    const made = new DigitsFleet(options, await writeBundle(join(options.dir, "models"), options.seed));
    await made.fleet.start(options.signal);
    for (const { id, keys } of made.#gateways) await made.fleet.enrol(id, keys.signer.publicKey);
    for (const gateway of made.#gateways) await gateway.start();
    return made;
  }

  /** Round by round; each ends when all that were drawn have answered. */
  async run(rounds: number): Promise<void> {
    const { signal, parts } = this.#options;
    const { rounds: own, coordinator } = this.fleet;
    for (let n = 0; n < rounds && !signal.aborted; n++) {
      let isOver = false;
      const running = this.fleet.run(1, signal).finally(() => {
        isOver = true;
      });
      while (!isOver && !signal.aborted) {
        const { document, accepted = 0 } = own.current ?? {};
        const drawn = document ? parts.filter((_, i) => isSelected(digitsName(i), document)).length : 0;
        if (own.isOpen && drawn > 0 && accepted >= drawn) await coordinator.run(() => own.stopRounds());
        else await sleep(lookMs, signal);
      }
      await running;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#gateways.map((gateway) => gateway.stop()));
    await this.fleet.stop();
  }
}

/** McMahan's perceptron of a seed as a bundle. */
async function writeBundle(root: string, seed: number): Promise<Bundle> {
  const { model, weights } = perceptron(seed);
  const dir = join(root, "digits");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "model.onnx"), encodeModel(model));
  const card = {
    ...{ format: 1, name: "digits", version: 1, task: "classification" },
    inputs: [{ name: "image", type: "uint8", dims: ["batch", 28, 28], from: "media" }],
    outputs: [{ name: "logits", kind: "logits", dims: ["batch", 10] }],
    trainable: Object.fromEntries(weights.map((name) => [name, "averaged"])),
  };
  writeFileSync(join(dir, "card.yaml"), stringify(card));
  return openBundle(dir);
}

/** A seed for one purpose in one round. */
export function mix(seed: number, round: number, purpose: number): number {
  const words = new Uint32Array(2);
  threefry(seed, purpose, round, 0, words);
  return words[0] as number;
}

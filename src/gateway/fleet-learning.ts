import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import { retainedChunks } from "../control/blob-fetch.ts";
import { DocumentQueue } from "../control/document-queue.ts";
import type { Signer } from "../crypto/signing.ts";
import { ModelRounds, type ModelRoundsPort, type RoundStanding } from "../federated/client/model-rounds.ts";
import { parseRound } from "../federated/round-document.ts";
import { openReceipt, receiptName } from "../federated/update-receipt.ts";
import { fleetTopics } from "../wire/topics.ts";
import { BaseWeights } from "./base-weights.ts";
import type { CloudPart, CloudRoute, CloudSide } from "./cloud-side.ts";
import type { GatewayOptions } from "./gateway-options.ts";
import { RoundFiles } from "./round-files.ts";
import { RoundReadings } from "./round-readings.ts";
import { RoundTrainer } from "./round-trainer.ts";
import type { Trainings } from "./trainings.ts";
import type { Trust } from "./trust.ts";

export type FleetLearningOptions = {
  readonly config: Config;
  readonly journal: Pick<Journal, "read" | "stateOf" | "stateGet" | "statePut">;
  readonly trainings: Trainings;
  readonly trust: Pick<Trust, "gate" | "policy">;
  readonly signer: Signer;
  readonly cloud: Pick<CloudSide, "publish" | "announce" | "listen">;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a receipt is waited for, ms: at first, and at most. Default 5 s and 5 min. */
  readonly receiptMs?: { readonly first: number; readonly most: number };
};

const waitMs = 30_000;
/** Between two looks for readings that are new. */
const newReadingsMs = 5_000;

/**
 * This gateway's part in what its fleet learns together: for each model of `federation.models` it follows the signed rounds,
 * trains on its own buffer, and sends one update of each. Without such models it takes no part.
 */
export class FleetLearning implements CloudPart {
  readonly name = "fleet-learning";
  readonly routes: readonly CloudRoute[];
  /** Which bases are here; a model update that brings one is seen by itself. */
  readonly bases: BaseWeights;
  readonly #options: FleetLearningOptions;
  readonly #files: RoundFiles;
  readonly #rounds = new Map<string, ModelRounds>();
  readonly #standings = new Map<string, RoundStanding>();
  /** Rounds by model and how they ended here. */
  readonly #ends = new Map<string, { model: string; outcome: string; count: number }>();
  /** Keys of the principals who signed a model's newest document: they sign its receipts. */
  readonly #signers = new Map<string, readonly Uint8Array[]>();
  /** One after the other: the gate's floor and the epoch are durable before a document is followed. */
  readonly #documents: DocumentQueue;

  /** Makes it a part of the gateway's cloud side. */
  static join(
    cloud: CloudSide,
    { config, keys, clock, log }: Pick<GatewayOptions, "config" | "keys" | "clock" | "log">,
    parts: Pick<FleetLearningOptions, "journal" | "trainings" | "trust">,
  ): FleetLearning {
    const { journal, trainings, trust } = parts;
    const learning = new FleetLearning({ config, journal, trainings, trust, signer: keys.signer, cloud, clock, log });
    cloud.add(learning);
    return learning;
  }

  constructor(options: FleetLearningOptions) {
    this.#options = options;
    const { config, journal, trainings, cloud, log } = options;
    const { fleet, id, dataDir } = config.gateway;
    const topics = fleetTopics(fleet);
    const own = topics.gateway(id);
    this.#documents = new DocumentQueue("rounds", log);
    this.#files = new RoundFiles(trainings.files, journal);
    this.bases = new BaseWeights({
      folders: [join(dataDir, "models"), config.models.dir],
      dir: join(dataDir, "bases"),
      chunks: (model) => retainedChunks(cloud, (sha256, n) => topics.blob(model, sha256, n)),
      log,
    });
    for (const model of config.federation.models) this.#rounds.set(model, new ModelRounds(model, this.#portOf(model)));
    trainings.onErased(() => this.erased());
    this.routes = config.federation.models.flatMap((model): CloudRoute[] => [
      {
        filter: topics.round(model),
        // A life that begins anew has to be told what is open.
        retained: "each",
        onMessage: ({ payload }) => {
          // An empty message takes back what was retained; the rounds go on as they know them.
          if (payload.length > 0) void this.#documents.add(payload, (envelope) => this.#receive(model, envelope));
        },
      },
      {
        filter: own.receipt(receiptName(model)),
        retained: "ignore",
        onMessage: ({ payload }) => this.#rounds.get(model)?.receive(new Uint8Array(payload)),
      },
    ]);
  }

  async start(): Promise<void> {
    for (const rounds of this.#rounds.values()) await rounds.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#rounds.values()].map((rounds) => rounds.stop()));
    await this.#documents.done;
  }

  /** What the coordinator sees in the gateway's status: why a round has no update of it. */
  status(): Record<string, unknown> {
    return this.#standings.size === 0 ? {} : { rounds: Object.fromEntries(this.#standings) };
  }

  get standings(): Readonly<Record<string, RoundStanding>> {
    return Object.fromEntries(this.#standings);
  }

  /** For metrics. */
  get ends(): { readonly model: string; readonly outcome: string; readonly count: number }[] {
    return [...this.#ends.values()];
  }

  #count(model: string, outcome: RoundStanding["state"]): void {
    if (outcome === "waiting" || outcome === "training" || outcome === "sending" || outcome === "closed") return;
    const key = `${model}/${outcome}`;
    const entry = this.#ends.get(key) ?? { model, outcome, count: 0 };
    entry.count++;
    this.#ends.set(key, entry);
  }

  /** Forgets updates that wait and what was held back of earlier ones: they were made of readings that are erased. */
  async erased(): Promise<void> {
    for (const rounds of this.#rounds.values()) await rounds.erased();
  }

  async #receive(model: string, envelope: Uint8Array): Promise<void> {
    try {
      await this.#take(model, envelope);
    } catch (thrown) {
      this.#options.log.warn({ model, reason: reasonOf(thrown) }, "a round's document was not taken");
    }
  }

  async #take(model: string, payload: Uint8Array): Promise<void> {
    const { gate, policy } = this.#options.trust;
    // Read as a whole before its version counts: what is no round must not stand in the way of those that come.
    const { document, signedBy } = await gate.accept("round", payload, (said) => {
      if (parseRound(said).subject !== model)
        throw new TidegateError("ROUND_INVALID", { reason: "it is about another model" });
      return { action: "round.start", resource: { model } };
    });
    const round = parseRound(document);
    this.#signers.set(
      model,
      signedBy.flatMap((name) => policy?.principals[name]?.keys ?? []),
    );
    await this.#rounds.get(model)?.take(round);
  }

  #portOf(model: string): ModelRoundsPort {
    const { config, cloud, trainings, signer, log, trust, journal } = this.#options;
    const { receiptMs = { first: 5_000, most: 300_000 } } = this.#options;
    const { fleet, id: gateway } = config.gateway;
    const topics = fleetTopics(fleet).gateway(gateway);
    const files = this.#files;
    const readings = new RoundReadings({ config, journal, trainings, policy: () => trust.policy });
    const trainer = new RoundTrainer({ config, trainings, files, bases: this.bases });
    return {
      ...{ fleet, gateway, signer, random: Math.random, log, receiptMs },
      maxPayload: config.cloud?.maxPayload ?? 122_880,
      publish: (name, round, part) => cloud.publish(topics.update(name, round), part),
      load: () => files.load(model),
      save: (state) => files.save(model, state),
      read: (file) => files.read(model, file),
      mismatch: () => readings.mismatch(model),
      base: async (round, signal) => {
        await this.bases.obtain(model, round.base, signal);
      },
      train: async (round, state, tell, signal) => {
        tell("waiting");
        await this.#untilHours(signal, tell);
        const begin = (any: AbortSignal) => {
          tell("training");
          return trainer.train(model, round, state, any);
        };
        for (;;) {
          try {
            return await trainings.inTurn(signal, (reason) => tell("waiting", reason), begin);
          } catch (thrown) {
            // Gradients are those of new readings: there will be some.
            const isEarly = thrown instanceof TidegateError && thrown.code === "DATA_TOO_LITTLE";
            if (round.mode !== "gradients" || !isEarly || signal.aborted) throw thrown;
            tell("waiting", "for new readings");
            await sleep(newReadingsMs, signal);
          }
        }
      },
      openReceipt: (payload) => openReceipt(payload, { fleet, gateway, trusted: this.#signers.get(model) ?? [] }),
      tell: (standing) => {
        this.#standings.set(model, standing);
        this.#count(model, standing.state);
        cloud.announce();
      },
    };
  }

  /** Waits for the hours of training. They say when it is convenient: nothing that counts depends on the clock. */
  async #untilHours(signal: AbortSignal, tell: (state: "waiting", reason: string) => void): Promise<void> {
    const { config, clock } = this.#options;
    const { hours } = config.federation;
    if (hours === undefined) return;
    while (!signal.aborted && !isWithin(hours, new Date(clock.now()))) {
      tell("waiting", `for the hours of training (${hours})`);
      await sleep(waitMs, signal);
    }
  }
}

/** Whether a time of day lies in hours such as 22:00-06:00, the first minute included and the last not. */
export function isWithin(hours: string, at: Date): boolean {
  const [from = 0, to = 0] = hours.split("-").map((time) => {
    const [hour = 0, minute = 0] = time.split(":").map(Number);
    return 60 * hour + minute;
  });
  const now = 60 * at.getHours() + at.getMinutes();
  return from <= to ? now >= from && now < to : now >= from || now < to;
}

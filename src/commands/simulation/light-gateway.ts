import { systemClock } from "../../base/clock.ts";
import { reasonOf } from "../../base/errors.ts";
import { type Component, sleep } from "../../base/lifecycle.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../base/random.ts";
import { retainedChunks } from "../../control/blob-fetch.ts";
import { ephemeralKeyRing } from "../../crypto/key-ring.ts";
import { openDocument } from "../../crypto/signed-document.ts";
import { ModelRounds, type RoundStanding } from "../../federated/client/model-rounds.ts";
import { parseRound } from "../../federated/round-document.ts";
import { openReceipt, receiptName } from "../../federated/update-receipt.ts";
import { RoundFiles } from "../../gateway/round-files.ts";
import { TrainingFiles } from "../../gateway/training-files.ts";
import { Link } from "../../wire/link.ts";
import type { LinkSubscription } from "../../wire/link-options.ts";
import { fleetTopics } from "../../wire/topics.ts";
import { BaseCache } from "./base-cache.ts";
import type { Learner } from "./learner.ts";
import type { Traits } from "./misconduct.ts";

export type LightGatewayOptions = {
  readonly id: string;
  readonly url: string;
  readonly fleet: string;
  readonly model: string;
  /** Keys that may sign rounds and receipts. */
  readonly trusted: readonly Uint8Array[];
  /** Folder for what it has to remember. */
  readonly dir: string;
  readonly learner: Learner;
  readonly traits: Traits;
  readonly random: Random;
  /** Bases, of this gateway or shared by all of its process. */
  readonly bases?: BaseCache;
  readonly maxPayload: number;
  onStanding(gateway: LightGateway, standing: RoundStanding): void;
  readonly log: Log;
};

const receiptMs = { first: 2_000, most: 30_000 };
const maxPacket = 1_200_000;

/**
 * A gateway as far as a fleet's rounds go, without sensors, models and a daemon: a connection and keys of its own, and the
 * client of a real one (`federated/client`), so that what travels is what travels in a real fleet.
 */
export class LightGateway implements Component {
  readonly name = "light-gateway";
  readonly id: string;
  readonly keys = ephemeralKeyRing();
  readonly link: Link;
  /** Loss of the base on what it holds, as it was told last. */
  loss: number | null = null;
  /** Bytes of parts that it sent. */
  sentBytes = 0;
  readonly #options: LightGatewayOptions;
  readonly #topics: ReturnType<typeof fleetTopics>;
  readonly #files: RoundFiles;
  readonly #rounds: ModelRounds;
  readonly bases: BaseCache;
  /** Routes that are listened to for a while. */
  readonly #listening = new Map<string, (payload: Uint8Array) => void>();
  #newest = { version: 0, epoch: 0 };
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LightGatewayOptions) {
    const { id, url, fleet, model, dir, log } = options;
    this.#options = options;
    this.id = id;
    this.#topics = fleetTopics(fleet);
    const state = new Map<string, Uint8Array>();
    const store = {
      stateGet: async (name: string) => state.get(name) ?? null,
      statePut: async (name: string, value: Uint8Array) => {
        state.set(name, value);
      },
    };
    this.#files = new RoundFiles(new TrainingFiles(dir, this.keys.storageRoot, store), store);
    this.bases =
      options.bases ??
      new BaseCache(retainedChunks(this.listening, (sha256, n) => this.#topics.blob(model, sha256, n)));
    this.link = new Link({
      name: "cloud",
      settings: {
        url,
        protocol: "auto",
        receiveMaximum: 64,
        sessionExpiry: 0,
        keepalive: 60_000,
        connectTimeout: 60_000,
      },
      clientId: `${fleet}-${id}`,
      credentials: {},
      subscriptions: this.#subscriptions,
      ack: "auto",
      maxPacket,
      onMessage: ({ topic, payload }) => this.#receive(topic, new Uint8Array(payload)),
      clock: systemClock,
      log,
      random: Math.random,
    });
    this.#rounds = new ModelRounds(model, this.#port());
  }

  /** Where chunks may be listened for; `retainedChunks` takes it. */
  get listening() {
    return {
      listen: ({
        filter,
        onMessage,
      }: {
        filter: string;
        onMessage(message: { topic: string; payload: Uint8Array }): void;
      }) => {
        this.#listening.set(filter, (payload) => onMessage({ topic: filter, payload }));
        void this.#resubscribe();
        return async () => {
          if (this.#listening.delete(filter)) await this.#resubscribe();
        };
      },
    };
  }

  async start(): Promise<void> {
    await this.#rounds.start();
    await this.link.start();
  }

  async stop(deadlineMs = 1_000): Promise<void> {
    this.bases.stop();
    await this.#rounds.stop();
    await this.#last;
    await this.link.stop(deadlineMs);
  }

  get #subscriptions(): LinkSubscription[] {
    const { model, id } = this.#options;
    return [
      { topic: this.#topics.round(model), qos: 1, retained: "each" },
      { topic: this.#topics.gateway(id).receipt(receiptName(model)), qos: 1, retained: "ignore" },
      ...[...this.#listening.keys()].map((topic) => ({ topic, qos: 1, retained: "each" }) as const),
    ];
  }

  async #resubscribe(): Promise<void> {
    await this.link
      .reconcile(this.#subscriptions)
      .catch((thrown: unknown) =>
        this.#options.log.debug({ reason: reasonOf(thrown) }, "the broker did not answer to a subscription"),
      );
  }

  #receive(topic: string, payload: Uint8Array): void {
    const listener = this.#listening.get(topic);
    if (listener) listener(payload);
    else if (topic !== this.#topics.round(this.#options.model)) this.#rounds.receive(payload);
    else if (payload.length > 0) this.#last = this.#last.then(() => this.#take(payload));
  }

  /** As the gate of a gateway has it: signed by whom it trusts, and nothing older than what it has seen. */
  async #take(payload: Uint8Array): Promise<void> {
    const { fleet, trusted, log } = this.#options;
    try {
      const round = parseRound(openDocument(payload, { kind: "round", audience: fleet, trusted }).document);
      if (round.version <= this.#newest.version || round.epoch < this.#newest.epoch) return;
      this.#newest = round;
      await this.#rounds.take(round);
    } catch (thrown) {
      log.warn({ gateway: this.id, reason: reasonOf(thrown) }, "a round's document was not taken");
    }
  }

  #port(): ConstructorParameters<typeof ModelRounds>[1] {
    const { fleet, id: gateway, model, learner, traits, random, maxPayload, onStanding, log } = this.#options;
    const files = this.#files;
    const own = this.#topics.gateway(gateway);
    return {
      ...{ fleet, gateway, maxPayload, signer: this.keys.signer, random: Math.random, receiptMs, log },
      load: () => files.load(model),
      save: (state) => files.save(model, state),
      read: (file) => files.read(model, file),
      mismatch: async () => null,
      base: async ({ base }) => {
        await this.bases.obtain(base);
      },
      train: async (round, state, tell, signal) => {
        tell("training");
        // Whoever vanishes is silent until the next round begins.
        if (random() < traits.dropOut) await untilAborted(signal);
        if (traits.delayMs > 0) await sleep(traits.delayMs, signal);
        if (signal.aborted) return null;
        const base = await this.bases.obtain(round.base);
        const made = await learner({ fleet, gateway, round, base, state, files, factor: traits.factor, signal });
        this.loss = made?.loss ?? null;
        return made;
      },
      publish: async (name, round, part) => {
        const sent = traits.isCorrupt ? flipped(part, random) : part;
        for (let copies = traits.isDuplicating ? 2 : 1; copies > 0; copies--) {
          this.sentBytes += sent.length;
          await this.link.publish(own.update(name, round), sent, { qos: 1 });
        }
      },
      openReceipt: (payload) => openReceipt(payload, { fleet, gateway, trusted: this.#options.trusted }),
      tell: (standing) => onStanding(this, standing),
    };
  }
}

const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });

function flipped(part: Uint8Array, random: Random): Uint8Array {
  const copy = new Uint8Array(part);
  const at = Math.floor(random() * copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << Math.floor(random() * 8));
  return copy;
}

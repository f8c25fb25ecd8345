import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import type { Log } from "../../base/log.ts";
import { Coordinator, coordinatorSubscriptions } from "../../coordinator/coordinator.ts";
import type { AcceptedUpdate, ModelVersion, StoredRound } from "../../coordinator/coordinator-store.ts";
import { fleetSettingsSchema } from "../../coordinator/fleet-settings.ts";
import type { ModelRounds } from "../../coordinator/model-rounds.ts";
import { SqliteCoordinatorStore } from "../../coordinator/sqlite-store.ts";
import { ephemeralKeyRing } from "../../crypto/key-ring.ts";
import type { Bundle } from "../../inference/bundle.ts";
import { Link } from "../../wire/link.ts";

/** A round that has led to a version. */
export type FinishedRound = {
  readonly round: number;
  readonly version: ModelVersion;
  /** What came of each gateway, without the bodies. */
  readonly updates: readonly Omit<AcceptedUpdate, "body">[];
  readonly bytesUp: number;
  /** The same updates as dense float32. */
  readonly denseBytes: number;
  /** Least that a gateway fetches for the round's base. */
  readonly bytesDown: number;
};

export type LocalFleetOptions = {
  readonly url: string;
  readonly fleet: string;
  readonly dir: string;
  readonly bundle: Bundle;
  /** As in the coordinator's settings. */
  readonly model: Record<string, unknown>;
  /** Called with each round before the next is opened. @returns metrics to keep with the version */
  onRound?(round: FinishedRound): Promise<Record<string, number>>;
  readonly log: Log;
};

const lookMs = 20;
const leaseMs = 3_000;
const maxPacket = 1_200_000;

/** A coordinator in this process, as `tidegate coordinator` is one, for one model. */
export class LocalFleet {
  readonly keys = ephemeralKeyRing();
  readonly store: SqliteCoordinatorStore;
  readonly coordinator: Coordinator;
  readonly model: string;
  readonly #link: Link;
  #fault: unknown;

  constructor({ url, fleet, dir, bundle, model, onRound, log }: LocalFleetOptions) {
    mkdirSync(dir, { recursive: true });
    this.model = bundle.name;
    const settings = fleetSettingsSchema.parse({
      ...{ broker: url, fleet, dataDir: dir, lease: leaseMs },
      models: { [bundle.name]: { bundle: bundle.dir, ...model } },
    });
    this.store = new SqliteCoordinatorStore(join(dir, "coordinator.db"));
    this.#link = new Link({
      name: "coordinator",
      settings: { url, protocol: "auto", receiveMaximum: 1_024, sessionExpiry: 0, keepalive: 60_000 },
      clientId: `${fleet}-coordinator`,
      credentials: {},
      subscriptions: coordinatorSubscriptions(fleet),
      ack: "auto",
      maxPacket,
      onMessage: ({ topic, payload, retain }) => this.coordinator.receive(topic, payload, retain),
      onState: () => this.coordinator.linkChanged(),
      clock: systemClock,
      log,
      random: Math.random,
    });
    this.coordinator = new Coordinator({
      ...{ settings, store: this.store, link: this.#link, keys: this.keys },
      bundles: new Map([[bundle.name, bundle]]),
      evaluate: (version) => this.#evaluate(version, onRound),
      clock: systemClock,
      log,
    });
  }

  get publicKey(): Uint8Array {
    return this.keys.signer.publicKey;
  }

  get rounds(): ModelRounds {
    const rounds = this.coordinator.models.get(this.model);
    if (rounds) return rounds;
    throw new TidegateError("BUG", { detail: `the coordinator has no model ${this.model}` });
  }

  /** Resolves when it leads. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#link.start();
    await this.coordinator.start();
    while (!this.rounds.isLed && !signal.aborted) await sleep(lookMs, signal);
  }

  async stop(): Promise<void> {
    await this.coordinator.stop();
    await this.#link.stop(1_000);
  }

  async enrol(gateway: string, key: Uint8Array): Promise<void> {
    await this.coordinator.run(() => this.coordinator.enrolments.enrol(gateway, key, systemClock.now()));
  }

  /** Asks for so many rounds, and resolves when they are over. @throws what `onRound` threw */
  async run(rounds: number, signal: AbortSignal): Promise<void> {
    await this.coordinator.run(() => this.rounds.startRounds(rounds));
    while (!signal.aborted && this.#fault === undefined) {
      const isOver = !this.rounds.isOpen && this.rounds.current?.state !== "aggregating";
      if (isOver && (await this.store.remaining(this.model)) === 0) break;
      await sleep(lookMs, signal);
    }
    if (this.#fault !== undefined) throw this.#fault;
  }

  async newest(): Promise<ModelVersion> {
    const version = await this.store.version(this.model);
    if (version) return version;
    throw new TidegateError("BUG", { detail: `model ${this.model} has no version` });
  }

  async #evaluate(version: ModelVersion, onRound: LocalFleetOptions["onRound"]): Promise<Record<string, number>> {
    const round = await this.store.round(this.model);
    if (!onRound || !round || round.document.mode === "statistics") return {};
    try {
      return await onRound({ version, ...(await this.#finished(round)) });
    } catch (thrown) {
      // Else a coordinator would go on with what it has, and nobody would hear of it.
      this.#fault = thrown;
      throw thrown;
    }
  }

  async #finished({ round, document, bytesUp }: StoredRound): Promise<Omit<FinishedRound, "version">> {
    const updates: Omit<AcceptedUpdate, "body">[] = [];
    for await (const { body: _body, ...update } of this.store.updates(this.model, round)) updates.push(update);
    const { length, sources } = document.base;
    return {
      ...{ round, updates, bytesUp, denseBytes: 4 * length * updates.length },
      bytesDown: Math.min(...sources.map(({ bytes }) => bytes)),
    };
  }
}

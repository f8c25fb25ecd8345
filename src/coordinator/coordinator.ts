import { randomBytes } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { KeyRing } from "../crypto/key-ring.ts";
import { enrolmentReceiptName, signEnrolmentAnswer } from "../federated/enrolment.ts";
import type { Bundle } from "../inference/bundle.ts";
import { fleetTopics, parseGatewayTopic } from "../wire/topics.ts";
import type { CoordinatorStore } from "./coordinator-store.ts";
import { Enrolments } from "./enrolments.ts";
import type { FleetSettings } from "./fleet-settings.ts";
import { FleetWatch } from "./fleet-watch.ts";
import { behindReason, type Lease, outranks, type Role, signLease } from "./lease.ts";
import { ModelRounds, type ModelRoundsOptions } from "./model-rounds.ts";
import { Rollouts } from "./rollouts.ts";
import { UpdateIntake } from "./update-intake.ts";

/** What a coordinator needs of its link. `Link` fits. */
export type CoordinatorLink = {
  publish(
    topic: string,
    payload: string | Uint8Array,
    options: { qos: 1; retain: boolean },
  ): Promise<{ reason: number }>;
  readonly state: { readonly isOnline: boolean };
};

export type CoordinatorOptions = {
  readonly settings: Pick<FleetSettings, "fleet" | "lease" | "peers" | "maxTransferBytes" | "models">;
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly store: CoordinatorStore;
  readonly link: CoordinatorLink;
  readonly keys: Pick<KeyRing, "signer" | "box">;
  /** Lead although the fleet has seen newer documents than the data here have. */
  readonly isTakeOver?: boolean;
  readonly evaluate?: ModelRoundsOptions["evaluate"];
  readonly clock: Clock;
  readonly log: Log;
};

type Message = { readonly topic: string; readonly payload: Uint8Array; readonly retained: boolean };

const maxWaiting = 8_192;
const maxWaitingBytes = 64 * 2 ** 20;
/** Leases that go out while one lasts. */
const beatsPerLease = 3;

/** What a coordinator subscribes to. */
export function coordinatorSubscriptions(fleet: string) {
  const { all, coordinator, round } = fleetTopics(fleet);
  const plain = [all.updates, all.enrolments].map((topic) => ({ topic, qos: 1, retained: "ignore" }) as const);
  return [
    ...plain,
    // What gateways run is told when it changes: a coordinator that starts has to hear of all.
    { topic: all.status, qos: 1, retained: "each" } as const,
    ...[coordinator("+"), round("+")].map((topic) => ({ topic, qos: 1, retained: "first" }) as const),
  ];
}

/**
 * Leads a fleet's learning. One at a time: whoever leads says so on the broker, over and over; another one stands by until
 * that has been silent for the time of a lease. A higher epoch wins, and gateways take no lower one, so that two that
 * cannot hear each other do no harm.
 */
export class Coordinator implements Component {
  readonly name = "coordinator";
  readonly #options: CoordinatorOptions;
  readonly #topics: ReturnType<typeof fleetTopics>;
  readonly #instance = randomBytes(8).toString("hex");
  readonly #watch: FleetWatch;
  readonly #stopping = new AbortController();
  readonly enrolments: Enrolments;
  readonly models = new Map<string, ModelRounds>();
  readonly intake: UpdateIntake;
  readonly rollouts: Rollouts;
  #role: Role = "waiting";
  #epoch = 0;
  #leaseVersion = 0;
  #behind = "";
  #waiting: Message[] = [];
  #waitingBytes = 0;
  #work: Promise<void> = Promise.resolve();
  #beat: NodeJS.Timeout | undefined;
  /** Resolves when the broker has given what it retains. */
  #marker = Promise.withResolvers<void>();
  #lastSeen = new Map<string, number>();
  #isStarted = false;
  /** Models that `#advance` is due for already. */
  readonly #due = new Set<string>();
  overflow = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { settings, store, link, keys, clock, log, bundles, evaluate } = options;
    const { fleet } = settings;
    this.#topics = fleetTopics(fleet);
    const peers = settings.peers.map((key) => new Uint8Array(Buffer.from(key, "base64")));
    this.#watch = new FleetWatch({
      ...{ fleet, leaseMs: settings.lease, known: [keys.signer.publicKey, ...peers], instance: this.#instance },
      ...{ isTakeOver: options.isTakeOver === true, clock, log },
    });
    this.enrolments = new Enrolments(store, fleet, log);
    const publish = (topic: string, payload: Uint8Array, { retain }: { retain: boolean }) =>
      link.publish(topic, payload, { qos: 1, retain });
    for (const [name, bundle] of bundles) {
      const own = settings.models[name];
      if (!own) continue;
      const parts = { bundle, store, topics: this.#topics, publish, signer: keys.signer, clock, log };
      this.models.set(name, new ModelRounds({ settings: own, ...parts, ...(evaluate ? { evaluate } : {}) }));
    }
    this.rollouts = new Rollouts({
      ...{ fleet, topics: this.#topics, store, signer: keys.signer, publish, clock, log },
      epoch: () => this.#epoch,
    });
    this.intake = new UpdateIntake({
      ...{ fleet, topics: this.#topics, keys: [keys.box], signer: keys.signer, enrolments: this.enrolments },
      ...{ models: this.models, maxTransferBytes: settings.maxTransferBytes, clock, log },
      publish: (topic, payload) => void link.publish(topic, payload, { qos: 1, retain: false }).catch(() => {}),
    });
  }

  async start(): Promise<void> {
    await this.enrolments.load();
    await this.rollouts.load();
    this.#isStarted = true;
    this.#beat = setInterval(() => this.#tick(), this.#options.settings.lease / beatsPerLease);
    if (this.#options.link.state.isOnline) this.linkChanged();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    clearInterval(this.#beat);
    await this.#work;
    if (this.#role === "leading") await this.#sayLease(true).catch(() => {});
    this.#standDown("waiting");
    await this.#options.store.close();
  }

  get state() {
    const { role, reason } = { role: this.#role, reason: this.#behind };
    const leader = role === "leading" ? this.#instance : (this.#watch.leader?.instance ?? null);
    return { fleet: this.#options.settings.fleet, role, reason, epoch: this.#epoch, leader, instance: this.#instance };
  }

  /** When a gateway's status was heard last, ms UTC. */
  lastSeen(gateway: string): number | null {
    return this.#lastSeen.get(gateway) ?? null;
  }

  /** The link is online, or is not any more. */
  linkChanged(): void {
    if (this.#stopping.signal.aborted || !this.#isStarted) return;
    this.#marker = Promise.withResolvers<void>();
    if (!this.#options.link.state.isOnline) {
      // Whether it still leads is asked anew once it is back: another may have taken over meanwhile.
      if (this.#role === "leading") this.#standDown("waiting");
      return;
    }
    const mark = this.#topics.coordinator(this.#instance);
    this.#options.link.publish(mark, "", { qos: 1, retain: false }).catch(() => {});
    this.#enqueue(() => this.#decide());
  }

  /** Runs work in line with the messages. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(work);
    this.#work = turn.then(
      () => {},
      () => {},
    );
    return turn;
  }

  /** A message of the link. */
  receive(topic: string, payload: Uint8Array, retained: boolean): void {
    if (this.#stopping.signal.aborted) return;
    if (topic === this.#topics.coordinator(this.#instance)) this.#marker.resolve();
    else if (topic === this.#topics.lease) this.#hearLease(payload);
    else if (topic.startsWith(this.#topics.round(""))) {
      // Its own documents come back to it while it leads.
      if (this.#role !== "leading" || retained)
        this.#watch.hearRound(topic.slice(this.#topics.round("").length), payload);
    }
    // Who stands by answers nobody: gateways send again.
    else if (this.#role === "leading") this.#keep({ topic, payload, retained });
  }

  #keep({ topic, payload, retained }: Message): void {
    if (this.#waiting.length >= maxWaiting || this.#waitingBytes + payload.length > maxWaitingBytes) {
      this.overflow++;
      return;
    }
    this.#waiting.push({ topic, payload: new Uint8Array(payload), retained });
    this.#waitingBytes += payload.length;
    this.#enqueue(() => this.#handleNext());
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((thrown: unknown) => this.#failed(thrown));
  }

  #failed(thrown: unknown): void {
    const { log } = this.#options;
    if (thrown instanceof TidegateError && thrown.code === "COORDINATOR_FENCED") {
      this.#standDown("standby");
      log.error({ ...thrown.facts }, thrown.message);
      return;
    }
    log.error({ reason: reasonOf(thrown) }, "the coordinator could not go on; it tries again");
  }

  async #handleNext(): Promise<void> {
    const message = this.#waiting.shift();
    if (!message) return;
    this.#waitingBytes -= message.payload.length;
    if (this.#role !== "leading") return;
    const { topic, payload } = message;
    const from = parseGatewayTopic(this.#options.settings.fleet, topic);
    if (!from) return;
    if (from.path[0] === "updates") {
      const full = await this.intake.receive(topic, payload);
      await full?.advance();
    } else if (from.path[0] === "enrolment") await this.#enrol(from.gateway, payload);
    else if (from.path[0] === "status" && this.enrolments.has(from.gateway)) this.#hearStatus(from.gateway, payload);
  }

  #hearStatus(gateway: string, payload: Uint8Array): void {
    this.#lastSeen.set(gateway, this.#options.clock.now());
    this.rollouts.heard(gateway, readStatus(payload));
  }

  async #enrol(gateway: string, payload: Uint8Array): Promise<void> {
    const { settings, keys, link, clock } = this.#options;
    const request = await this.enrolments.request(payload, gateway, clock.now());
    if (!request) return;
    const answer = signEnrolmentAnswer(settings.fleet, request.claim, request.answer, keys.signer);
    const topic = this.#topics.gateway(gateway).receipt(enrolmentReceiptName);
    void link.publish(topic, answer, { qos: 1, retain: false }).catch(() => {});
  }

  #hearLease(payload: Uint8Array): void {
    const { log } = this.#options;
    const lease = this.#watch.hearLease(payload);
    if (this.#role !== "leading" || !lease || lease.isEnded) return;
    if (outranks(lease, this.#own)) {
      log.error(
        { other: lease.instance, epoch: lease.epoch },
        "another coordinator leads this fleet: this one stands by",
      );
      this.#standDown("standby");
    } else void this.#sayLease().catch(() => {});
  }

  get #own(): Lease {
    return { epoch: this.#epoch, instance: this.#instance, isEnded: false };
  }

  /** Every beat: a leader says that it leads, one that stands by looks whether it still has to. */
  #tick(): void {
    if (!this.#options.link.state.isOnline) return;
    if (this.#role === "leading") {
      void this.#sayLease().catch(() => {});
      // What failed, for a full disk or a broker that refused, is tried again.
      for (const name of this.models.keys()) this.#advanceSoon(name);
      this.#enqueue(() => this.rollouts.look());
    } else if (this.#role !== "behind") this.#enqueue(() => this.#decide());
  }

  async #sayLease(isEnded = false): Promise<void> {
    const { settings, keys, link } = this.#options;
    const text = signLease(settings.fleet, ++this.#leaseVersion, { ...this.#own, isEnded }, keys.signer);
    await link.publish(this.#topics.lease, text, { qos: 1, retain: true });
  }

  /** Whether to lead, once everything that the broker retains has been heard. */
  async #decide(): Promise<void> {
    const { store, link, settings, log, isTakeOver } = this.#options;
    if (this.#role === "leading" || !link.state.isOnline) return;
    const { signal } = this.#stopping;
    await Promise.race([this.#marker.promise, sleep(settings.lease, signal)]);
    const { leader } = this.#watch;
    if (leader) {
      if (this.#role !== "standby")
        log.warn({ leader: leader.instance, epoch: leader.epoch }, "another coordinator leads: this one stands by");
      this.#role = "standby";
      return;
    }
    if (signal.aborted || !link.state.isOnline) return;
    const reason = await behindReason(store, this.#watch.heights);
    if (reason !== null && !isTakeOver) {
      const error = new TidegateError("COORDINATOR_BEHIND", { reason });
      log.error({ code: error.code }, `${error.message}. ${error.help}`);
      this.#role = "behind";
      this.#behind = reason;
      return;
    }
    await this.#lead();
  }

  async #lead(): Promise<void> {
    const { store, settings, log } = this.#options;
    this.#epoch = await store.takeEpoch(this.#watch.heights.epoch);
    this.#leaseVersion = this.#epoch * 2 ** 20;
    this.#role = "leading";
    await this.#sayLease();
    log.info({ fleet: settings.fleet, epoch: this.#epoch, members: this.enrolments.count }, "this coordinator leads");
    // Before anything that has come meanwhile: verbs and updates find rounds that are led.
    for (const name of this.models.keys()) await this.#advance(name).catch((thrown: unknown) => this.#failed(thrown));
  }

  #advanceSoon(name: string): void {
    if (this.#due.has(name)) return;
    this.#due.add(name);
    this.#enqueue(() => this.#advance(name));
  }

  async #advance(name: string): Promise<void> {
    this.#due.delete(name);
    const rounds = this.models.get(name);
    if (this.#role !== "leading" || !rounds) return;
    if (rounds.isLed) return rounds.advance();
    const { settings, keys } = this.#options;
    const announcer = { fleet: settings.fleet, epoch: this.#epoch, box: keys.box.publicKey };
    await rounds.lead(announcer, this.#watch.heights.documents.get(name) ?? 0, () => this.#advanceSoon(name));
  }

  #standDown(role: Role): void {
    this.#role = role;
    for (const rounds of this.models.values()) rounds.standDown();
  }
}

/** What a gateway says of itself; null when it is no JSON. */
function readStatus(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString("utf8"));
  } catch {
    return null;
  }
}

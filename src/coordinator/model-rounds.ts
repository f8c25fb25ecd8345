import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { meanAndDeviation } from "../federated/statistics.ts";
import type { Update } from "../federated/update-header.ts";
import type { PartHead } from "../federated/update-parts.ts";
import type { UpdateReceipt } from "../federated/update-receipt.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { FleetTopics } from "../wire/topics.ts";
import { aggregate, sumMoments } from "./aggregate.ts";
import { BaseBlobs, offerOf } from "./base-blobs.ts";
import type { Publishing } from "./blob-publisher.ts";
import { bytesOfVector, weightsOfBundle } from "./bundle-weights.ts";
import type { CoordinatorStore, ModelVersion, StoredRound, VersionChange } from "./coordinator-store.ts";
import { downlinkHeader, type ModelSettings } from "./fleet-settings.ts";
import { beginLine, tellVersion } from "./next-version.ts";
import { type Announcer, checkSettings, planRound, planStatistics } from "./round-plan.ts";
import { checkUpdate, refuseHead, spaceOf, UsualNorm } from "./update-check.ts";

export type ModelRoundsOptions = {
  readonly settings: ModelSettings;
  readonly bundle: Bundle;
  readonly store: CoordinatorStore;
  readonly topics: FleetTopics;
  readonly publish: Publishing;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once a round has led to a new version, before the next is opened. @returns metrics to keep with it */
  evaluate?(version: ModelVersion): Promise<Record<string, number>>;
};

export type Answer = Pick<UpdateReceipt, "status" | "reason">;

/** Rounds of the past that a late update may still be told about. */
const rememberedRounds = 64;

/**
 * The rounds of one model, one after the other: open -> collecting -> aggregating -> published. What counts is what the
 * store has taken: after a crash an open round goes on with it, a settled one is aggregated anew, to the same bytes.
 */
export class ModelRounds {
  readonly name: string;
  readonly #options: ModelRoundsOptions;
  readonly #norms = new UsualNorm();
  readonly #blobs: BaseBlobs;
  #announcer: Announcer | null = null;
  #round: StoredRound | null = null;
  /** Documents of rounds, by number: late updates are held against the round that they were trained in. */
  #documents = new Map<number, RoundDocument>();
  /** When the round was announced in this life, ms of the monotonic clock. */
  #announcedAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ModelRoundsOptions) {
    this.#options = options;
    this.name = options.bundle.name;
    const { topics, publish } = options;
    this.#blobs = new BaseBlobs((sha256, n) => topics.blob(this.name, sha256, n), publish);
  }

  get current(): StoredRound | null {
    return this.#round;
  }

  get documentVersion(): number {
    return this.#round?.document.version ?? 1;
  }

  get isOpen(): boolean {
    return this.#round !== null && (this.#round.state === "open" || this.#round.state === "collecting");
  }

  get isOverdue(): boolean {
    const elapsed = this.#options.clock.monotonic() - this.#announcedAt;
    return this.isOpen && elapsed >= this.#options.settings.deadline;
  }

  /**
   * Takes the lead: goes on where an earlier life, or another coordinator, has come to.
   * @param above  the newest document of this model that the fleet has seen
   * @param onDue  called when time has changed what is to be done: then `advance` is to be called
   */
  async lead(announcer: Announcer, above: number, onDue: () => void): Promise<void> {
    const { store, bundle, settings, clock } = this.#options;
    this.#announcer = announcer;
    this.#isLed = false;
    this.#onDue = onDue;
    if (!(await store.version(this.name))) {
      const weights = bytesOfVector(await weightsOfBundle(bundle));
      const first = { model: this.name, version: bundle.card.version, parent: null, weights, tensors: {} };
      await store.beginModel(announcer.epoch, beginLine({ ...first, at: clock.now() }));
      if (settings.rounds !== 0) await store.setRemaining(announcer.epoch, this.name, settings.rounds);
    }
    const base = await this.#newest();
    checkSettings(settings, base.weights.length / 4);
    const history = await store.history(this.name, rememberedRounds);
    const own = history.filter(({ document }) => (document.base.root ?? "") === base.root);
    this.#documents = new Map(own.map(({ round, document }) => [round, document]));
    this.#round = history[0] ?? null;
    for (const { document, round } of history.slice(0, 2)) this.#blobs.forget(document.base.sources, round);
    for (const { metrics } of history.toReversed()) if (metrics.norm) this.#norms.add(metrics.norm);
    if (this.isOpen) await this.#announce(this.#round?.document.round ?? 0, above);
    await this.advance();
    // Whatever an earlier life left on the broker: nothing is asked for.
    if (!this.isOpen && this.#round) await this.#close(this.#round.document, above);
    this.#isLed = true;
  }

  #onDue: () => void = () => {};
  #isLed = false;

  /** Whether `lead` has come to its end. */
  get isLed(): boolean {
    return this.#isLed;
  }

  standDown(): void {
    this.#announcer = null;
    this.#isLed = false;
    clearTimeout(this.#timer);
  }

  /** Does what is due: settles a round that has enough, aggregates one that is settled, opens the next. */
  async advance(): Promise<void> {
    if (!this.#announcer) return;
    const { store, settings } = this.#options;
    if (this.isOpen && this.#isEnough()) {
      await store.settle(this.#announcer.epoch, this.name, this.#round?.round ?? 0);
      await this.#refresh();
    }
    if (this.#round?.state === "aggregating") await this.#aggregate(this.#round);
    if (this.isOpen || !this.#announcer) return;
    const remaining = await store.remaining(this.name);
    if (remaining === 0) return;
    const since = this.#round?.endedAt ? this.#options.clock.now() - this.#round.endedAt : settings.pause;
    if (since >= 0 && since < settings.pause) return this.#wake(settings.pause - since);
    await this.#open();
  }

  #isEnough(): boolean {
    const { accepted = 0, document } = this.#round ?? {};
    if (!document) return false;
    return accepted >= document.quorum.target || (this.isOverdue && accepted >= document.quorum.min);
  }

  /** Wakes up once: `setTimeout` runs on the monotonic clock. */
  #wake(afterMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onDue(), Math.min(afterMs, 2 ** 31 - 1));
  }

  async #newest(): Promise<ModelVersion> {
    const version = await this.#options.store.version(this.name);
    if (!version) throw new TidegateError("BUG", { detail: `model ${this.name} has no version` });
    return version;
  }

  async #refresh(): Promise<void> {
    this.#round = await this.#options.store.round(this.name);
  }

  async #open(): Promise<void> {
    const { store, settings } = this.#options;
    const isFirst = this.#round === null;
    const round = isFirst ? (settings.normalization ? 0 : 1) : (this.#round?.round ?? 0) + 1;
    const remaining = await store.remaining(this.name);
    // Round 0 is a preparation: it is none of those that were asked for.
    await this.#announce(round, 0, remaining > 0 && round > 0 ? remaining - 1 : remaining);
  }

  async #announce(round: number, above: number, remaining?: number): Promise<void> {
    const { store, settings, bundle, clock, log } = this.#options;
    const announcer = this.#announcer;
    if (!announcer) return;
    const base = await this.#newest();
    const before = await store.version(this.name, base.version - 1);
    const { sources, blobs } = offerOf(base, before, await store.changes(this.name));
    await this.#blobs.offer(blobs, round);
    const version = await store.nextDocument(announcer.epoch, this.name, above);
    const statistics = round === 0 ? await planStatistics(settings, bundle) : undefined;
    const facts = { version, round, at: clock.now(), base, sources, ...(statistics ? { statistics } : {}) };
    const document = planRound(settings, announcer, facts);
    await store.openRound(announcer.epoch, document, clock.now(), remaining);
    this.#documents.set(round, document);
    this.#documents.delete(round - rememberedRounds);
    await this.#refresh();
    this.#announcedAt = clock.monotonic();
    this.#wake(settings.deadline);
    await this.#publishDocument(document);
    log.info({ model: this.name, round, version, epoch: announcer.epoch }, "round open");
    // Of asynchronous rounds an older one is still trained in.
    await this.#blobs
      .retire(round - (document.maxStaleness ?? 0))
      .catch((thrown: unknown) => log.debug({ reason: reasonOf(thrown) }, "an older base stays on the broker"));
  }

  async #publishDocument(document: RoundDocument): Promise<void> {
    const { topics, publish, signer } = this.#options;
    const { expires, ...rest } = document;
    const signed = signDocument({ ...rest, ...(expires === undefined ? {} : { expires }) }, [signer]);
    const text = Buffer.from(JSON.stringify(signed));
    await publish(topics.round(this.name), text, { retain: true });
  }

  async #aggregate(stored: StoredRound): Promise<void> {
    const { store, settings, clock, log, evaluate } = this.#options;
    const epoch = this.#announcer?.epoch ?? 0;
    const base = await this.#newest();
    const { document, round } = stored;
    const updates = store.updates(this.name, round);
    const next = { model: this.name, version: base.version + 1, parent: base.hash, at: clock.now() };
    let version: ModelVersion;
    let change: VersionChange | null = null;
    if (document.mode === "statistics") {
      const tensors = { ...base.tensors, ...(await this.#normalisation(stored)) };
      version = { ...base, ...next, tensors, metrics: {} };
    } else {
      const spaces = (trainedIn: number) => {
        const own = trainedIn === round ? document : this.#documents.get(trainedIn);
        return own && (spaceOf(own) ?? undefined);
      };
      const { exact, ...made } = await aggregate(updates, base, document, settings, spaces);
      const header = downlinkHeader(settings, document.base.length);
      const told = tellVersion(base, exact, round, header, await store.changes(this.name));
      change = told.change;
      version = { ...base, ...next, ...made, ...told.version };
    }
    const told = await evaluate?.(version).catch((thrown: unknown) => {
      log.warn({ model: this.name, reason: reasonOf(thrown) }, "the new version could not be evaluated");
      return {};
    });
    await store.publish(epoch, round, { ...version, metrics: { ...version.metrics, ...told } }, change);
    await this.#refresh();
    const facts = { model: this.name, round, version: version.version, hash: version.hash, updates: stored.accepted };
    log.info({ ...facts, metrics: version.metrics }, "round published");
    // Without a next round to take its place, the closed one says that nothing is asked for.
    if ((await store.remaining(this.name)) === 0) await this.#close(document);
  }

  async #close(document: RoundDocument, above = 0): Promise<void> {
    const epoch = this.#announcer?.epoch ?? 0;
    const version = await this.#options.store.nextDocument(epoch, this.name, above);
    await this.#publishDocument({ ...document, version, epoch, state: "closed" });
  }

  /** Mean and deviation as the card's `fit` asks for them, by tensor. */
  async #normalisation({ document, round }: StoredRound): Promise<Record<string, number[]>> {
    const { store, bundle } = this.#options;
    const moments = await sumMoments(store.updates(this.name, round), document);
    const tensors: Record<string, number[]> = {};
    let at = 0;
    for (const { of, size, low, high } of document.statistics?.values ?? []) {
      const told = moments.slice(at, at + size).map((each) => meanAndDeviation(each, { low, high }));
      at += size;
      for (const { tensor, statistic } of bundle.card.fit.filter((fit) => fit.of === of)) {
        if (statistic === "mean") tensors[tensor] = told.map((each) => each?.mean ?? 0);
        // What never varies is not blown up.
        if (statistic === "std") tensors[tensor] = told.map((each) => each?.std || 1);
      }
    }
    return tensors;
  }

  /** Whether a part may belong to an update that counts; null when it may, and has not come before. */
  async screen(head: PartHead): Promise<Answer | null> {
    const current = this.#round?.document;
    if (!current) return { status: "rejected", reason: "other-round" };
    const taken = await this.#options.store.accepted(this.name, head.gateway, head.round);
    if (taken === head.update) return { status: "duplicate" };
    if (taken !== null) return { status: "rejected", reason: "other-update" };
    const refusal = refuseHead(head, current, this.#documents.get(head.round) ?? null);
    if (refusal) return refusal;
    return this.isOpen ? null : { status: "stale", reason: "closed" };
  }

  /** Takes a whole update. @throws TidegateError STORAGE_FAILED, COORDINATOR_FENCED */
  async take(update: Update, head: PartHead): Promise<Answer> {
    const { store } = this.#options;
    const announcer = this.#announcer;
    const document = this.#documents.get(head.round);
    const cohort = this.#round?.round;
    if (!announcer || !document || cohort === undefined) return { status: "stale", reason: "closed" };
    const checked = checkUpdate(update, head, document, spaceOf(document));
    if ("status" in checked) return checked;
    if (this.#norms.isFarAbove(checked.norm)) return { status: "rejected", reason: "norm" };
    const { gateway, round, update: hash, size } = head;
    const { weight, metrics } = update.header;
    const about = { model: this.name, cohort, gateway, round, update: hash, weight, norm: checked.norm };
    const status = await store.accept(announcer.epoch, { ...about, metrics, body: update.body, bytes: size });
    if (status === "closed") return { status: "stale", reason: "closed" };
    if (status === "other-update") return { status: "rejected", reason: "other-update" };
    if (status === "accepted") this.#norms.add(checked.norm);
    await this.#refresh();
    return { status };
  }

  /**
   * Asks for so many rounds; below 0: until they are stopped.
   * @param from  an older version that they begin with: what came after it is not gone on with, nor is the open round
   * @throws TidegateError ROUND_ABSENT
   */
  async startRounds(rounds: number, from?: number): Promise<void> {
    if (!this.#announcer)
      throw new TidegateError("ROUND_ABSENT", { what: "coordinator that leads: this one stands by" });
    if (from !== undefined) await this.#goBack(from);
    await this.#options.store.setRemaining(this.#announcer.epoch, this.name, rounds);
    await this.advance();
  }

  /** Begins a line of versions with an older one. Nothing that was trained in the line before counts in it. */
  async #goBack(to: number): Promise<void> {
    const { store, clock } = this.#options;
    const epoch = this.#announcer?.epoch ?? 0;
    const [old, newest] = [await store.version(this.name, to), await this.#newest()];
    if (!old) throw new TidegateError("ROUND_ABSENT", { what: `version ${to} of ${this.name} any more` });
    const round = this.#round;
    if (this.isOpen && round) {
      await store.abandon(epoch, this.name, round.round, clock.now());
      await this.#refresh();
      await this.#close(round.document);
    }
    const { model, weights, tensors, hash: parent } = old;
    const anew = { model, version: newest.version + 1, parent, weights, tensors };
    await store.beginModel(epoch, beginLine({ ...anew, at: clock.now() }));
    this.#documents.clear();
  }

  /** Ends the open round, with what has come when that is enough, and opens no other. */
  async stopRounds(): Promise<{ round: number | null; state: string; discarded: number }> {
    const { store, clock } = this.#options;
    if (!this.#announcer)
      throw new TidegateError("ROUND_ABSENT", { what: "coordinator that leads: this one stands by" });
    const { epoch } = this.#announcer;
    await store.setRemaining(epoch, this.name, 0);
    const round = this.#round;
    if (!this.isOpen || !round) return { round: round?.round ?? null, state: round?.state ?? "none", discarded: 0 };
    const isEnough = round.accepted >= round.document.quorum.min;
    if (isEnough) {
      await store.settle(epoch, this.name, round.round);
      await this.#refresh();
      await this.advance();
    } else {
      await store.abandon(epoch, this.name, round.round, clock.now());
      await this.#refresh();
      await this.#close(round.document);
    }
    return { round: round.round, state: this.#round?.state ?? "none", discarded: isEnough ? 0 : round.accepted };
  }
}

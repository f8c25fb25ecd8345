import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Bundle } from "../inference/bundle.ts";
import { type ChunkSource, type Listening, retainedChunks } from "./blob-fetch.ts";
import { DocumentQueue } from "./document-queue.ts";
import { type Hardware, type Manifest, parseManifest } from "./model-manifest.ts";
import { obstacleTo } from "./release-obstacle.ts";
import {
  type ReleaseRecord,
  type ReleaseState,
  type ReleaseStore,
  readRecord,
  withFailed,
  writeRecord,
} from "./release-record.ts";
import { stageRelease } from "./release-staging.ts";

/** What the gateway lends for changing its models. Reasons are sentences; null: nothing speaks against it. */
export type ModelShelf = {
  /** The version that runs. */
  active(model: string): Promise<Bundle | null>;
  /** Tries a staged bundle: golden samples, and beside the active version on live data. */
  trial(candidate: Bundle, signal: AbortSignal): Promise<string | null>;
  /** Puts it in the place of the active version, at once for all streams; why not, if it did not. */
  install(model: string, dir: string): Promise<string | null>;
  /** Puts the version before in its place again. */
  revert(model: string): Promise<void>;
  /** How a model has done since the switch; the sentence that speaks for going back. */
  complaint(model: string): string | null;
};

export type ModelUpdatesOptions = {
  readonly gateway: string;
  /** Models that run here: only these are followed. */
  readonly models: readonly string[];
  readonly hardware: Hardware;
  /** Folder for what is under way. */
  readonly dir: string;
  readonly shelf: ModelShelf;
  readonly store: ReleaseStore;
  readonly port: Listening;
  manifestTopic(model: string): string;
  blobTopic(model: string, sha256: string, n: number): string;
  /** Opens a signed manifest of the model; throws when it is not to be followed. */
  verify(payload: Uint8Array, model: string): Promise<unknown>;
  /** How long a new version is watched before it is kept, ms. */
  readonly watchMs: number;
  /** Something to be told to the cloud has changed. */
  onChange(): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
};

/** How a gateway stands to the newest release that it was offered. */
export type ReleaseStanding = Pick<ReleaseRecord, "manifest" | "state" | "reason"> & {
  readonly version: number;
  readonly hash: string;
};

const lookMs = 2_000;
const retryMs = 60_000;
/** Starts that a new version may take without proving itself: after that the one before comes back. */
const maxStarts = 2;

type Pursuit = { manifest: Manifest | null; abort: AbortController; done: Promise<void> };

/**
 * Follows the releases that the fleet's publishers offer: fetches, tries, switches, watches, keeps or goes back. One
 * release of a model at a time; a newer manifest ends the pursuit of the older one. Nothing that comes from afar can
 * leave a stream without the version that it had.
 */
export class ModelUpdates {
  readonly name = "model updates";
  readonly routes: readonly {
    readonly filter: string;
    readonly retained: "each";
    onMessage(message: { topic: string; payload: Uint8Array }): void;
  }[];
  readonly #options: ModelUpdatesOptions;
  readonly #records = new Map<string, ReleaseRecord>();
  readonly #pursuits = new Map<string, Pursuit>();
  readonly #counts = new Map<ReleaseState, number>();
  #received = 0;
  #isStopped = false;
  /** One after another, so that the newest is followed last. */
  readonly #opening: DocumentQueue;

  constructor(options: ModelUpdatesOptions) {
    this.#options = options;
    this.#opening = new DocumentQueue("manifests", options.log);
    this.routes = options.models.map((model) => ({
      filter: options.manifestTopic(model),
      retained: "each" as const,
      onMessage: ({ payload }) => void this.#opening.add(payload, (envelope) => this.#offered(model, envelope)),
    }));
  }

  /** Releases that reached each state since the start, and bytes that came for them. */
  get counters() {
    return { states: [...this.#counts].map(([state, count]) => ({ state, count })), receivedBytes: this.#received };
  }

  /** What the gateway's status document says of its models. */
  status(): { readonly models: Readonly<Record<string, ReleaseStanding>> } {
    const releases = [...this.#records].map(([model, { releaseVersion, release, manifest, state, reason }]) => {
      return [model, { version: releaseVersion, hash: release, manifest, state, reason }] as const;
    });
    return { models: Object.fromEntries(releases) };
  }

  /**
   * Before any model is opened: a version that was switched to and has not let the gateway come up goes back.
   */
  async settle(): Promise<void> {
    const { models, shelf, store, log } = this.#options;
    for (const model of models) {
      const record = await readRecord(store, model);
      if (!record) continue;
      this.#records.set(model, record);
      if (record.state !== "watching") continue;
      const starts = record.starts + 1;
      if (starts <= maxStarts) {
        await this.#keep(model, { ...record, starts });
        continue;
      }
      await shelf.revert(model);
      await this.#keep(model, withFailed(record, "rolled-back", `${maxStarts} starts with it failed`));
      log.error(
        { model, version: record.releaseVersion },
        "a new version kept the gateway from starting: the one before is back",
      );
    }
  }

  async start(_signal: AbortSignal): Promise<void> {
    for (const [model, record] of this.#records) {
      if (record.state !== "watching") continue;
      // The gateway came up with it. The time of the watch begins anew: what was seen before is not known any more.
      await this.#keep(model, { ...record, starts: 0 });
      this.#follow(model, null, (signal) => this.#watch(model, record, signal));
    }
  }

  async stop(_deadlineMs: number): Promise<void> {
    this.#isStopped = true;
    for (const { abort } of this.#pursuits.values()) abort.abort();
    await this.#opening.done;
    await Promise.all([...this.#pursuits.values()].map(({ done }) => done));
  }

  /**
   * Puts the version before in the place of the one that runs, because somebody says so: what is under way for the model
   * ends, and the release is not taken again unless one is pushed as a rollback to it.
   * @throws TidegateError USAGE when no such model is followed here
   */
  async rollBack(model: string): Promise<{ readonly from: number | null; readonly to: number | null }> {
    const { models, shelf } = this.#options;
    if (!models.includes(model)) throw new TidegateError("USAGE", { detail: `no model ${model} runs here` });
    const pursuit = this.#pursuits.get(model);
    pursuit?.abort.abort();
    await pursuit?.done;
    const before = await shelf.active(model);
    await shelf.revert(model);
    const record = this.#records.get(model);
    if (record && record.release === before?.hash)
      await this.#keep(model, withFailed(record, "rolled-back", "by command"));
    return { from: before?.card.version ?? null, to: (await shelf.active(model))?.card.version ?? null };
  }

  async #offered(model: string, payload: Uint8Array): Promise<void> {
    if (this.#isStopped || payload.length === 0) return;
    let manifest: Manifest;
    try {
      manifest = parseManifest(await this.#options.verify(payload, model));
    } catch (thrown) {
      this.#options.log.warn({ model, reason: reasonOf(thrown) }, "a manifest was refused");
      return;
    }
    if (this.#pursuits.get(model)?.manifest?.version === manifest.version) return;
    this.#follow(model, manifest, (signal) => this.#pursue(manifest, signal));
  }

  /** Ends what was being done for this model, and does this. */
  #follow(model: string, manifest: Manifest | null, work: (signal: AbortSignal) => Promise<void>): void {
    const former = this.#pursuits.get(model);
    former?.abort.abort();
    const abort = new AbortController();
    const done = Promise.resolve(former?.done)
      .then(() => work(abort.signal))
      .catch((thrown: unknown) => this.#gaveUp(model, thrown));
    this.#pursuits.set(model, { manifest, abort, done });
  }

  #gaveUp(model: string, thrown: unknown): void {
    if (thrown instanceof TidegateError && thrown.code === "STOPPED") return;
    this.#options.log.error({ model, reason: reasonOf(thrown) }, "a release could not be followed");
  }

  async #pursue(manifest: Manifest, signal: AbortSignal): Promise<void> {
    const { subject: model } = manifest;
    const { release, rollout } = manifest;
    const here = { gateway: this.#options.gateway, hardware: this.#options.hardware };
    for (;;) {
      if (signal.aborted) return;
      const before = this.#records.get(model);
      const active = await this.#options.shelf.active(model);
      const isRunning = active?.hash === release.hash;
      if (isRunning && before?.release === release.hash && before.state === "watching")
        return this.#watch(model, before, signal);
      const obstacle = isRunning
        ? { state: "active" as const, reason: "" }
        : obstacleTo(manifest, active, before, here);
      if (obstacle) return this.#enter(manifest, obstacle.state, obstacle.reason);
      try {
        await this.#enter(manifest, "fetching", "");
        const candidate = await this.#stage(manifest, active, signal);
        await this.#enter(manifest, "trying", "");
        const fault = rollout.isForced ? null : await this.#options.shelf.trial(candidate, signal);
        if (signal.aborted) return;
        if (fault) return await this.#fail(manifest, "refused", fault, candidate);
        // Durable before the switch: whatever happens from now on, the next start knows what to watch, or to undo.
        await this.#enter(manifest, "watching", "");
        const refusal = await this.#options.shelf.install(model, candidate.dir);
        if (refusal) return await this.#fail(manifest, "refused", refusal, candidate);
        const record = this.#records.get(model);
        if (record) await this.#watch(model, record, signal);
        return;
      } catch (thrown) {
        if (signal.aborted) return;
        const code = thrown instanceof TidegateError ? thrown.code : "";
        if (code !== "BLOB_MISSING" && code !== "BLOB_DAMAGED" && code !== "STORAGE_FAILED" && !isDiskFault(thrown))
          return this.#fail(manifest, "refused", reasonOf(thrown), null);
        await this.#enter(manifest, "waiting", reasonOf(thrown));
        this.#options.log.warn({ model, version: release.version, reason: reasonOf(thrown) }, "a release waits");
        await sleep(retryMs * (0.5 + this.#options.random()), signal);
      }
    }
  }

  async #stage(manifest: Manifest, active: Bundle | null, signal: AbortSignal): Promise<Bundle> {
    const { dir, port, blobTopic, log, random } = this.#options;
    const source: ChunkSource = retainedChunks(port, (sha256, n) => blobTopic(manifest.subject, sha256, n));
    return stageRelease(manifest, {
      dir,
      active,
      fetch: { source, log, random, signal },
      onReceived: (bytes) => {
        this.#received += bytes;
      },
    });
  }

  async #watch(model: string, record: ReleaseRecord, signal: AbortSignal): Promise<void> {
    const { shelf, clock, watchMs, log } = this.#options;
    const end = clock.monotonic() + watchMs;
    while (clock.monotonic() < end) {
      await sleep(Math.min(lookMs, watchMs), signal);
      // The gateway stops, or something newer is offered: at the next start the watch goes on.
      if (signal.aborted || this.#isStopped) return;
      const complaint = shelf.complaint(model);
      if (!complaint) continue;
      await shelf.revert(model);
      await this.#keep(model, withFailed(record, "rolled-back", complaint));
      log.error({ model, version: record.releaseVersion, reason: complaint }, "a new version was rolled back");
      return;
    }
    await this.#keep(model, { ...record, state: "active", reason: "", starts: 0 });
    log.info({ model, version: record.releaseVersion }, "a new version has proved itself");
  }

  async #fail(manifest: Manifest, state: "refused", reason: string, candidate: Bundle | null): Promise<void> {
    const { subject: model, release } = manifest;
    await this.#keep(model, withFailed(this.#recordOf(manifest, state, reason), state, reason));
    if (candidate) await rm(candidate.dir, { recursive: true, force: true });
    this.#options.log.warn({ model, version: release.version, reason }, "a release was refused");
  }

  async #enter(manifest: Manifest, state: ReleaseState, reason: string): Promise<void> {
    await this.#keep(manifest.subject, this.#recordOf(manifest, state, reason));
  }

  #recordOf({ subject, version, release }: Manifest, state: ReleaseState, reason: string): ReleaseRecord {
    const failed = this.#records.get(subject)?.failed ?? [];
    const head = { manifest: version, release: release.hash, releaseVersion: release.version };
    return { ...head, state, reason, starts: 0, failed };
  }

  async #keep(model: string, record: ReleaseRecord): Promise<void> {
    const before = this.#records.get(model);
    if (before && JSON.stringify(before) === JSON.stringify(record)) return;
    await writeRecord(this.#options.store, model, record);
    this.#records.set(model, record);
    this.#counts.set(record.state, (this.#counts.get(record.state) ?? 0) + 1);
    this.#options.onChange();
  }
}

/** A full disk is no fault of the release. */
const isDiskFault = (thrown: unknown): boolean =>
  ["ENOSPC", "EDQUOT", "EROFS", "EIO"].includes(String((thrown as { code?: unknown }).code));

/** Where releases are brought together, within the folder of the gateway's own models. */
export const stagingDir = (dataDir: string): string => join(dataDir, "models", ".incoming");

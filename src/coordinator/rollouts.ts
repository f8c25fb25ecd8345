import type * as z from "zod";
import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Manifest, manifestKind, parseManifest } from "../control/model-manifest.ts";
import { signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import type { Bundle } from "../inference/bundle.ts";
import type { FleetTopics } from "../wire/topics.ts";
import { type Publishing, publishBlob } from "./blob-publisher.ts";
import { describeRelease } from "./release.ts";
import {
  type ModelReport,
  nextOf,
  type Rollout,
  rolloutRuleSchema,
  seedOf,
  type Tally,
  tallyOf,
} from "./rollout-plan.ts";

/** A rollout as it is kept, with what its manifest says of the release. */
export type KeptRollout = {
  readonly rollout: Rollout;
  readonly release: Manifest["release"];
  readonly requires: Manifest["requires"];
  readonly metrics: Readonly<Record<string, number>>;
  /** Version of the newest manifest. */
  readonly manifest: number;
};

export type RolloutStore = {
  /** Every rollout that is kept, the newest of each model. */
  rollouts(): Promise<KeptRollout[]>;
  /** Durable before its manifest is published, so that no version is used twice. */
  putRollout(epoch: number, rollout: KeptRollout): Promise<void>;
};

export type RolloutsOptions = {
  readonly fleet: string;
  readonly topics: FleetTopics;
  readonly store: RolloutStore;
  readonly signer: Signer;
  readonly publish: Publishing;
  /** The fence: a coordinator that was overtaken changes nothing. */
  epoch(): number;
  readonly clock: Clock;
  readonly log: Log;
};

const validMs = 365 * 86_400_000;
/** Models that one gateway may report, and characters of a hash and a state. */
const [maxReports, maxNameLength] = [64, 128];

/**
 * Brings releases to a fleet stage by stage, by what gateways report: on when a stage has stood its time, halted by
 * itself when too many refuse the release or go back. Gateways decide for themselves whether they keep it.
 */
export class Rollouts {
  readonly #options: RolloutsOptions;
  readonly #kept = new Map<string, KeptRollout>();
  /** Newest reports of each member that was heard of, by model. */
  readonly #reports = new Map<string, ReadonlyMap<string, ModelReport>>();
  readonly #stageSince = new Map<string, number>();

  constructor(options: RolloutsOptions) {
    this.#options = options;
  }

  async load(): Promise<void> {
    for (const kept of await this.#options.store.rollouts()) {
      this.#kept.set(kept.rollout.model, kept);
      // How long a stage had lasted before is not known by any clock that can be trusted: it begins anew.
      this.#stageSince.set(kept.rollout.model, this.#options.clock.monotonic());
    }
  }

  /** The newest rollout of each model, and how it stands. */
  get state(): (Rollout & { readonly tally: Tally; readonly manifest: number })[] {
    return [...this.#kept.values()].map(({ rollout, manifest }) => ({
      ...rollout,
      tally: this.#tally(rollout),
      manifest,
    }));
  }

  /** A member's status document. What it says of models is taken as its word, no more. */
  heard(gateway: string, status: unknown): void {
    const models = (status as { models?: unknown } | null)?.models;
    const reports = new Map<string, ModelReport>();
    for (const [model, said] of Object.entries(typeof models === "object" ? (models ?? {}) : {}).slice(0, maxReports)) {
      const { hash, state, reason } = (said ?? {}) as Partial<Record<keyof ModelReport, unknown>>;
      if (typeof hash !== "string" || typeof state !== "string" || hash.length + state.length > maxNameLength) continue;
      reports.set(model, { hash, state, reason: typeof reason === "string" ? reason.slice(0, 500) : "" });
    }
    this.#reports.set(gateway, reports);
  }

  /** A gateway that was removed counts no more. */
  forget(gateway: string): void {
    this.#reports.delete(gateway);
  }

  /**
   * Begins a rollout: files on the broker, then the first stage's manifest.
   * @param parents  versions that gateways have, for differences
   * @param above  the version of a manifest that somebody else has published
   * @throws TidegateError ROLLOUT_UNDER_WAY, BROKER_REFUSED, STORAGE_FAILED
   */
  async start(
    bundle: Bundle,
    parents: readonly Bundle[],
    rule: z.input<typeof rolloutRuleSchema> = {},
    above = 0,
    isForced = false,
  ): Promise<Rollout> {
    const { name: model, card, hash } = bundle;
    const before = this.#kept.get(model);
    if (before?.rollout.state === "running" && before.rollout.hash !== hash)
      throw new TidegateError("ROLLOUT_UNDER_WAY", { model, version: before.rollout.version });
    const { release, blobs } = await describeRelease(bundle, parents);
    const { topics, publish, clock } = this.#options;
    for (const blob of blobs) {
      const [refused] = await publishBlob(blob, (sha256, n) => topics.blob(model, sha256, n), publish);
      if (refused) throw new TidegateError("OUTPUT_REFUSED", { output: "the broker", reason: refused.reason });
    }
    const rollout: Rollout = {
      model,
      hash,
      version: card.version,
      rule: rolloutRuleSchema.parse(isForced ? { ...rule, stages: [1] } : rule),
      state: "running",
      stage: 0,
      reason: "",
      startedAt: clock.now(),
    };
    const manifest = Math.max(before?.manifest ?? 0, above);
    await this.#publish({ rollout, release, requires: {}, metrics: card.metrics ?? {}, manifest }, isForced);
    return rollout;
  }

  /** Nobody begins with the release any more; who has it keeps it. */
  halt(model: string, reason: string): Promise<Rollout> {
    return this.#change(model, (rollout) => ({ ...rollout, state: "halted", reason }));
  }

  /** Goes on where it was halted. */
  resume(model: string): Promise<Rollout> {
    return this.#change(model, (rollout) => ({ ...rollout, state: "running", reason: "" }));
  }

  async #change(model: string, change: (rollout: Rollout) => Rollout): Promise<Rollout> {
    const kept = this.#kept.get(model);
    if (!kept) throw new TidegateError("ROLLOUT_ABSENT", { model });
    const rollout = change(kept.rollout);
    await this.#publish({ ...kept, rollout });
    return rollout;
  }

  /** Looks whether a stage has stood its time or a release fails. Never throws. */
  async look(): Promise<void> {
    for (const [model, kept] of this.#kept) {
      const { rollout } = kept;
      if (rollout.state !== "running") continue;
      const stageMs = this.#options.clock.monotonic() - (this.#stageSince.get(model) ?? 0);
      const next = nextOf(rollout, this.#tally(rollout), stageMs);
      if (next === rollout) continue;
      try {
        await this.#publish({ ...kept, rollout: next });
      } catch (thrown) {
        this.#options.log.warn({ model, reason: reasonOf(thrown) }, "a rollout could not go on; it is tried again");
        continue;
      }
      const facts = { model, version: next.version, stage: next.stage, reason: next.reason };
      if (next.state === "halted") this.#options.log.error(facts, "a rollout was halted");
      else this.#options.log.info(facts, next.state === "done" ? "a rollout is done" : "a rollout goes on");
    }
  }

  #tally(rollout: Rollout): Tally {
    const own = [...this.#reports].map(([gateway, reports]) => [gateway, reports.get(rollout.model) ?? null] as const);
    return tallyOf(rollout, new Map(own));
  }

  async #publish(next: KeptRollout, isForced = false): Promise<void> {
    const { fleet, topics, store, signer, publish, epoch, clock } = this.#options;
    const kept = { ...next, manifest: next.manifest + 1 };
    const { rollout, release, requires, metrics } = kept;
    const now = clock.now();
    const document = {
      kind: manifestKind,
      audience: fleet,
      version: kept.manifest,
      subject: rollout.model,
      issuedAt: new Date(now).toISOString(),
      expires: new Date(now + validMs).toISOString(),
      release,
      requires,
      metrics,
      rollout: {
        share: rollout.rule.stages[rollout.stage] ?? 1,
        seed: seedOf(rollout),
        isHalted: rollout.state === "halted",
        isForced,
      },
    };
    parseManifest(document);
    await store.putRollout(epoch(), kept);
    this.#kept.set(rollout.model, kept);
    this.#stageSince.set(rollout.model, clock.monotonic());
    const payload = new Uint8Array(Buffer.from(JSON.stringify(signDocument(document, [signer]))));
    const { reason } = await publish(topics.manifest(rollout.model), payload, { retain: true });
    if (reason >= 128) throw new TidegateError("OUTPUT_REFUSED", { output: "the broker", reason });
  }
}

import { totalmem } from "node:os";
import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import type { DocumentGate } from "../control/document-gate.ts";
import { manifestKind, parseManifest } from "../control/model-manifest.ts";
import { ModelUpdates, stagingDir } from "../control/model-updates.ts";
import type { LiveModels } from "../inference/live-models.ts";
import type { ModelHost } from "../inference/model-host.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import { shadowDefaults } from "../inference/shadow.ts";
import { fleetTopics } from "../wire/topics.ts";
import type { CloudSide } from "./cloud-side.ts";
import { modelShelf } from "./model-shelf.ts";

export type ModelDeliveryParts = {
  readonly config: Config;
  readonly version: string;
  readonly cloud: CloudSide;
  readonly gate: DocumentGate;
  readonly journal: Journal;
  readonly live: LiveModels;
  readonly host: ModelHost;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  readonly log: Log;
};

/** The part of the cloud side that brings new versions of the gateway's models. */
export function modelDelivery(parts: ModelDeliveryParts): ModelUpdates {
  const { config, version, cloud, gate, journal, live, host, scheduler, clock, log } = parts;
  const { dataDir, fleet, id } = config.gateway;
  const { updates } = config.models;
  const topics = fleetTopics(fleet);
  const rule = { ...shadowDefaults, windows: updates.trialWindows, maxMs: updates.trialTime };
  return new ModelUpdates({
    gateway: id,
    models: [...new Set(Object.values(config.streams).flatMap(({ model }) => model ?? []))],
    hardware: { runtime: version, arch: process.arch, memoryMB: Math.floor(totalmem() / 2 ** 20) },
    dir: stagingDir(dataDir),
    shelf: modelShelf({ dataDir, live, host, scheduler, clock, rule }),
    store: journal,
    port: cloud,
    manifestTopic: topics.manifest,
    blobTopic: topics.blob,
    verify: manifestsBy(gate),
    watchMs: updates.watch,
    onChange: () => cloud.announce(),
    clock,
    log,
    random: Math.random,
  });
}

/**
 * Opens a model's signed manifest. It is read as a whole, and is about no other model, before its version counts: whoever
 * may push one model must not use up the versions of another.
 */
export const manifestsBy =
  (gate: Pick<DocumentGate, "accept">) =>
  async (payload: Uint8Array, model: string): Promise<unknown> => {
    const { document } = await gate.accept(manifestKind, payload, (said) => {
      const { subject, rollout } = parseManifest(said);
      if (subject !== model) throw new TidegateError("MANIFEST_INVALID", { reason: "it is of another model" });
      return { action: rollout.isForced ? "model.rollback" : "model.push", resource: { model } };
    });
    return document;
  };

import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { renderSource } from "../base/frame.ts";
import type { Log } from "../base/log.ts";
import type { StreamState } from "../buffer/commit.ts";
import type { Config, StreamConfig } from "../config/config.ts";
import type { HostedModel } from "../inference/hosted-model.ts";
import type { LiveModels } from "../inference/live-models.ts";
import { Registry } from "../inference/registry.ts";
import type { Scheduler } from "../inference/scheduler.ts";
import type { DeadLetters } from "../ingest/dead-letter.ts";
import { Intake } from "../ingest/intake.ts";
import { siteTopics } from "../wire/topics.ts";
import type { PublishingLink } from "./publisher.ts";
import { StreamPath, type StreamPathOptions } from "./stream-path.ts";

export type StreamParts = {
  readonly config: Config;
  readonly models: LiveModels;
  readonly scheduler: Scheduler;
  readonly link: PublishingLink;
  readonly letters: DeadLetters;
  readonly clock: Clock;
  readonly log: Log;
  readonly onResult: StreamPathOptions["onResult"];
};

/** The bundles of a gateway: its own versions come before those that shipped. */
export const registryOf = ({ gateway, models }: Config): Registry =>
  new Registry({ dirs: [join(gateway.dataDir, "models"), models.dir] });

/** The fields that a stream has behind its transformations. */
export const transformedFields = ({ fields, transform }: Pick<StreamConfig, "fields" | "transform">): string[] => [
  ...new Set([...Object.keys(fields), ...transform.flatMap(({ as }) => as ?? [])]),
];

/**
 * Opens the way of one stream: its model is loaded and bound, its lane opened.
 * @throws TidegateError MODEL_MISSING, MODEL_UNBOUND, CODEC_INVALID, PREPROCESS_INVALID …
 */
export async function openStream(name: string, state: StreamState, parts: StreamParts): Promise<StreamPath> {
  const { config, models, scheduler, link, letters, clock, log } = parts;
  const stream = config.streams[name] as StreamConfig;
  const topics = siteTopics(config.gateway.id);
  const shape = { size: stream.window?.size, everyMs: stream.every };
  const bound =
    stream.model === undefined ? undefined : await models.use(stream.model, name, transformedFields(stream), shape);
  // The intake calls the path, and the path reads the intake's sources: one has to come first.
  let path: StreamPath | undefined;
  const intake = new Intake({
    name,
    stream,
    clock,
    sources: state.sources,
    next: Math.max(state.next, state.cursors.inferred),
    onDead: (letter) => letters.add(letter),
    ...(bound ? { onReading: (...reading) => path?.onReading(...reading) } : {}),
  });
  if (bound) {
    const width = (stream.window?.size ?? bound.model.bundle.card.window?.size ?? 1) * bound.fields.length;
    scheduler.open({ stream: name, model: bound.model, width, whenFull: stream.qos === 1 ? "hold" : "shed" });
  }
  path = new StreamPath({
    name,
    config: stream,
    intake,
    scheduler,
    ...(bound ? { model: { card: bound.model.bundle.card, fields: bound.fields } } : {}),
    link,
    topicOf: (source) => topics.result(name, source),
    clock,
    log: log.child({ stream: name }),
    onResult: parts.onResult,
  });
  return path;
}

/** Puts a changed model in place of the one that a stream runs on. */
export function swapModel(path: StreamPath, model: HostedModel, scheduler: Scheduler): void {
  path.adopt(model.bundle.card);
  scheduler.swap(path.name, model);
}

/** What `tidegate status` tells of a stream. */
export function streamStatus(path: StreamPath) {
  const { intake, counters, publisher, config } = path;
  const size = path.windowSize;
  return {
    topic: config.topic,
    model: config.model ?? null,
    ...intake.counters,
    ...counters,
    published: publisher.counters.published,
    pending: intake.pending,
    stored: path.stored,
    behind: path.behind,
    dropped: path.dropped,
    sources: path.sources.map(({ source, verdict, fill }) => ({
      source: renderSource(source),
      verdict,
      window: size === null ? null : `${fill}/${size}`,
    })),
  };
}

/** Readings and windows that were lost since the start, over all streams, by reason; those of which none was are left out. */
export function lossesOf(paths: Iterable<StreamPath>): Record<string, number> {
  const losses = new Map<string, number>();
  for (const path of paths) {
    const { shed, refused, lostWindows } = { ...path.intake.counters, ...path.counters };
    const found = { storage: shed, intake: refused, ...path.dropped, ...lostWindows };
    for (const [reason, n] of Object.entries(found)) if (n > 0) losses.set(reason, (losses.get(reason) ?? 0) + n);
  }
  return Object.fromEntries(losses);
}

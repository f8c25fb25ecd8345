import { mkdirSync } from "node:fs";
import { type Component, Lifecycle, Together, within } from "./base/lifecycle.ts";
import type { Commit } from "./buffer/commit.ts";
import type { Journal } from "./buffer/journal.ts";
import type { ModelUpdates } from "./control/model-updates.ts";
import type { Aggregator } from "./gateway/aggregator.ts";
import { Brake } from "./gateway/brake.ts";
import { watchCertificates } from "./gateway/certificate-watch.ts";
import { CloudSide } from "./gateway/cloud-side.ts";
import type { Collector } from "./gateway/collector.ts";
import { gatewayCommands } from "./gateway/command-table.ts";
import { commitPath } from "./gateway/commit-path.ts";
import type { Committer } from "./gateway/committer.ts";
import { type Erasures, gatewayErasures } from "./gateway/erasures.ts";
import { FleetLearning } from "./gateway/fleet-learning.ts";
import { gatewayJournal } from "./gateway/gateway-journal.ts";
import type { GatewayOptions } from "./gateway/gateway-options.ts";
import { formerFilters, rememberFilters, siteFilters, siteLink } from "./gateway/links.ts";
import { modelDelivery } from "./gateway/model-delivery.ts";
import { confirmed } from "./gateway/publisher.ts";
import { Recovery } from "./gateway/recovery.ts";
import { ResultsWay } from "./gateway/results-way.ts";
import { housekeeping, Schedules } from "./gateway/schedules.ts";
import { Snapshots } from "./gateway/snapshots.ts";
import { streamAggregator } from "./gateway/stream-aggregator.ts";
import type { StreamPath } from "./gateway/stream-path.ts";
import { lossesOf, openStream, registryOf, streamStatus, swapModel } from "./gateway/streams.ts";
import { Trainings } from "./gateway/trainings.ts";
import { Trust } from "./gateway/trust.ts";
import { LiveModels } from "./inference/live-models.ts";
import { ModelHost } from "./inference/model-host.ts";
import { Scheduler } from "./inference/scheduler.ts";
import { DeadLetters } from "./ingest/dead-letter.ts";
import { Router } from "./ingest/router.ts";
import { daemonParts } from "./ops/daemon-parts.ts";
import { Health } from "./ops/health.ts";
import type { Link } from "./wire/link.ts";

const tickMs = 1_000;

/** The edge daemon: everything between a site's sensors and the cloud, put together. */
export class Gateway implements Component {
  readonly name = "gateway";
  readonly health: Health;
  readonly journal: Journal;
  readonly #options: GatewayOptions;
  readonly #host: ModelHost;
  readonly #models: LiveModels;
  readonly trainings: Trainings;
  /** Null: the gateway stands alone. */
  readonly fleetLearning: FleetLearning | null;
  readonly trust: Trust;
  readonly erasures: Erasures;
  readonly #scheduler: Scheduler;
  /** New versions of the models; undefined where nobody may bring any. */
  readonly updates: ModelUpdates | undefined;
  readonly #letters = new DeadLetters();
  readonly #brake: Brake;
  readonly #paths = new Map<string, StreamPath>();
  readonly #snapshots: Snapshots;
  /** Messages up to this ticket are in the journal. */
  #durableTicket = 0;
  /** The newest message when the drain began: those after it are left to the broker, unacknowledged. */
  #lastTaken: number | undefined;
  #site: Link | undefined;
  #results: ResultsWay | undefined;
  readonly #cloud: CloudSide | null;
  /** The journal began anew: its numbers have to be told apart from those before. */
  #isNewLife = false;
  #committer: Committer<Commit> | undefined;
  #collector: Collector | undefined;
  #aggregators: Aggregator[] = [];
  readonly #ending = new AbortController();
  /** Plays what earlier lives owe, beside the work of this one. */
  #recovered: Promise<unknown> = Promise.resolve();
  #running: Lifecycle | undefined;
  #ticker: NodeJS.Timeout | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { config, keys, clock, log } = options;
    this.health = new Health({
      clock,
      parts: daemonParts,
      onChange: (change) => log.info(change, "health changed"),
    });
    this.journal = gatewayJournal(config, keys.storageRoot, log, () => {
      this.#isNewLife = true;
    });
    this.#cloud = CloudSide.of({
      ...options,
      journal: this.journal,
      onState: (state, reason) => {
        if (state === "online") this.health.ready("cloud");
        else this.health.degrade("cloud", reason);
      },
    });
    this.trust = new Trust({
      ...{ ...options, journal: this.journal, cloud: () => this.#cloud, commands: gatewayCommands(this) },
      drops: () => lossesOf(this.#paths.values()),
    });
    for (const part of this.trust.parts) this.#cloud?.add(part);
    this.#host = new ModelHost({ ...config.models, clock, log });
    this.#brake = new Brake({ pause: () => this.#site?.pause(), resume: () => this.#site?.resume(), log });
    this.#scheduler = new Scheduler({
      host: this.#host,
      clock,
      log,
      onResults: (batch) => {
        this.health.progress("models");
        options.observe?.inference(batch.model, batch.durationMs / 1000);
        this.#paths.get(batch.stream)?.onResults(batch);
      },
      onLost: (lost) => this.#paths.get(lost.stream)?.onLost(lost),
      onSaturated: (isSaturated) => {
        if (!isSaturated) this.#release(this.#durableTicket);
      },
      onCrowded: (isCrowded) => this.#brake.set("models", isCrowded),
    });
    this.#snapshots = new Snapshots(this.#scheduler, clock);
    const memory = () => ({ paths: this.#paths.values(), snapshots: this.#snapshots, cloud: this.#cloud });
    this.erasures = gatewayErasures({ ...options, journal: this.journal, trainings: () => this.trainings, memory });
    this.trainings = new Trainings({ ...options, journal: this.journal, host: this.#host, health: this.health });
    this.fleetLearning = this.#cloud && FleetLearning.join(this.#cloud, options, this);
    this.#models = new LiveModels({
      registry: registryOf(config),
      host: this.#host,
      log,
      onSwap: (stream, model) => {
        const path = this.#paths.get(stream);
        if (path) swapModel(path, model, this.#scheduler);
      },
    });
    if (this.#cloud && this.trust.policy) {
      const models = { live: this.#models, host: this.#host, scheduler: this.#scheduler };
      const parts = {
        config,
        version: options.version,
        cloud: this.#cloud,
        gate: this.trust.gate,
        journal: this.journal,
        ...models,
        clock,
        log,
      };
      this.updates = modelDelivery(parts);
      this.#cloud.add(this.updates);
    }
  }

  /** Opens journal and models, plays back what is owed, and connects. */
  async start(signal: AbortSignal): Promise<void> {
    const { config, log } = this.#options;
    mkdirSync(config.gateway.dataDir, { recursive: true, mode: 0o750 });
    this.health.ready("configuration");
    this.health.ready("keys");
    const base = new Lifecycle([new Together([this.journal, this.#host])]);
    await base.start(signal);
    try {
      this.health.ready("journal");
      this.health.ready("disk");
      await this.trust.load(this.#isNewLife);
      await this.updates?.settle();
      const former = await formerFilters(this.journal);
      this.#site = this.#siteLink(former);
      this.#results = ResultsWay.to(this.#site, this.#linkParts(), this.#brake);
      const recoveries = await this.#openStreams();
      if (this.#cloud) {
        await this.#cloud.open([...this.#paths.values()], this.#isNewLife);
        this.health.ready("uplink");
      }
      this.health.ready("models");
      const schedules = new Schedules([...housekeeping(config.schedules, this), ...this.trainings.jobs], log);
      const cloudSide = this.#cloud ? [this.#cloud] : [];
      this.#running = new Lifecycle([this.#models, schedules, this.trainings, ...cloudSide, this.#site, this.#results]);
      // The broker drops what is no longer wanted once it is reached: until then its session may hold either.
      await rememberFilters(this.journal, [...former, ...siteFilters(config)]);
      this.#recovered = Promise.all(recoveries.map((recovery) => recovery.run(this.#ending.signal)));
      await this.#running.start(signal);
      signal.throwIfAborted();
      this.#ticker = setInterval(() => this.#tick(), tickMs);
      void this.erasures.resume().catch((error: Error) => log.error({ reason: error.message }, "an erasure waits"));
    } catch (thrown) {
      this.#ending.abort();
      await this.#running?.stop(5_000).catch(() => {});
      await base.stop(5_000);
      throw thrown;
    }
  }

  /** Drains: nothing more is taken; what was taken is inferred, published and committed, as far as the deadline allows. */
  async stop(deadlineMs: number): Promise<void> {
    const { log, clock } = this.#options;
    const end = clock.monotonic() + deadlineMs;
    const left = () => Math.max(100, end - clock.monotonic());
    clearInterval(this.#ticker);
    this.#ending.abort();
    if (this.#running) {
      // The subscriptions stay: what comes while the gateway is away waits in the broker's session.
      this.#lastTaken = this.#site?.lastTicket;
      this.#brake.release();
      await within(this.#scheduler.drained(), left() / 2, "inference").catch((error: Error) =>
        log.warn({ reason: error.message }, "not everything was inferred: it is done at the next start"),
      );
      await confirmed(this.#paths.values(), clock, clock.monotonic() + left() / 3);
      for (const path of this.#paths.values()) this.#takeSnapshot(path, true);
      this.#collector?.touch();
      if (this.#committer)
        await within(this.#committer.flush(), left() / 2, "the last commit").catch((error: Error) =>
          log.error({ reason: error.message }, "the last commit failed"),
        );
      this.#committer?.stop();
      await this.#running
        .stop(left())
        .catch((error: Error) => log.warn({ reason: error.message }, "not all parts ended"));
      this.#running = undefined;
    }
    await this.#host.stop(left());
    await this.journal.stop(left());
  }

  /** Acknowledges what is durable, unless models are so far behind that the broker had better wait. */
  #release(ticket: number): void {
    this.#durableTicket = Math.max(this.#durableTicket, ticket);
    if (!this.#scheduler.isSaturated) this.#site?.release(this.#durableTicket);
  }

  #linkParts() {
    const { config, version, keys, credentialsDir, clock, log } = this.#options;
    return { config, version, fingerprint: keys.identity, credentialsDir, clock, log };
  }

  #siteLink(former: readonly string[]): Link {
    let router: Router | undefined;
    return siteLink(this.#linkParts(), {
      former,
      expectsSession: former.length > 0,
      onMessage: ({ topic, payload, repeat, qos }) => {
        if (this.#lastTaken !== undefined) return;
        router ??= this.#router();
        router.accept(topic, payload, repeat, qos);
        this.#committer?.wake();
      },
      onState: (state, reason) => {
        this.#results?.siteChanged(state === "online");
        if (state === "offline") return this.health.degrade("site", reason);
        this.health.ready("site");
        if (former.length > 0) rememberFilters(this.journal, siteFilters(this.#options.config)).catch(() => {});
      },
    });
  }

  #router(): Router {
    const intakes = [...this.#paths.values()].map(({ intake }) => intake);
    return new Router(intakes, this.#options.clock, (letter) => this.#letters.add(letter));
  }

  async #openStreams(): Promise<Recovery[]> {
    const { config, clock, log, onResult } = this.#options;
    const [site, link] = [this.#site, this.#results];
    if (!site || !link) return [];
    const states = new Map(
      await Promise.all(
        Object.keys(config.streams).map(async (name) => [name, await this.journal.stateOf(name)] as const),
      ),
    );
    for (const [name, state] of states) {
      const path = await openStream(name, state, {
        config,
        models: this.#models,
        scheduler: this.#scheduler,
        link,
        letters: this.#letters,
        clock,
        log,
        onResult: (from, result, text, isAlarmEdge) => {
          this.#collector?.addResult(from, text, isAlarmEdge);
          this.#options.observe?.latency(from.name, result.latencyMs / 1000);
          onResult?.(result);
        },
      });
      this.#paths.set(name, path);
    }
    const parts = { ...this.#commitPath(site), journal: this.journal, scheduler: this.#scheduler, log };
    const recoveries: Recovery[] = [];
    for (const [name, state] of states) {
      const path = this.#paths.get(name);
      if (!path) continue;
      const recovery = new Recovery({ ...parts, path });
      await recovery.prepare(state);
      recoveries.push(recovery);
      if (path.config.uplink === "aggregates")
        this.#aggregators.push(streamAggregator(path, state.cursors.aggregated, this.journal, clock));
    }
    return recoveries;
  }

  #commitPath(site: Link) {
    const path = commitPath({
      ...this.#options,
      site,
      paths: [...this.#paths.values()],
      letters: this.#letters,
      journal: this.journal,
      health: this.health,
      brake: this.#brake,
      lastTicket: () => this.#lastTaken ?? site.lastTicket,
      durableTicket: () => this.#durableTicket,
      release: (ticket) => this.#release(ticket),
      onOwed: () => this.#cloud?.wake(),
    });
    this.#collector = path.collector;
    this.#committer = path.committer;
    return path;
  }

  /** Aggregates what is complete; `isFinal` closes every window of time. */
  async aggregate(isFinal = false): Promise<void> {
    if (!this.#options.config.cloud) return;
    let made = 0;
    for (const aggregator of this.#aggregators) made += await aggregator.run(isFinal);
    if (made > 0) this.#cloud?.wake();
  }

  /** Everything that was taken is inferred, published and on disk when this resolves. */
  async settle(): Promise<void> {
    await this.#recovered;
    await this.#scheduler.drained();
    await confirmed(this.#paths.values(), this.#options.clock);
    this.#collector?.touch();
    await this.#committer?.flush();
  }

  /** Messages that are owed to the cloud. */
  async owed(): Promise<number> {
    return (await this.journal.stats()).outbox.messages;
  }

  /** What waits for its commit is on disk when this resolves, unless the disk takes nothing. */
  async flush(): Promise<void> {
    await this.#committer?.flushUnlessFailing();
  }

  #tick(): void {
    for (const path of this.#paths.values()) {
      path.tick();
      this.#takeSnapshot(path);
    }
    this.#collector?.touch();
    this.#committer?.wake();
    const links = { site: this.#site?.state, cloud: this.#cloud?.state.link };
    watchCertificates(this.health, links, this.#options.clock.now());
  }

  #takeSnapshot(path: StreamPath, isForced = false): void {
    const snapshot = this.#snapshots.of(path, isForced);
    if (snapshot) this.#collector?.addSnapshot(snapshot);
  }

  /** A sign of life of the model process. */
  pingModels(): Promise<void> {
    return this.#host.ping();
  }

  /** What `tidegate status` shows. */
  status() {
    const { config, version } = this.#options;
    return {
      gateway: config.gateway.id,
      version,
      profile: config.gateway.profile,
      health: this.health.document,
      site: this.#site?.state ?? null,
      results: this.#results?.state ?? null,
      cloud: this.#cloud?.state.link ?? null,
      brake: this.#brake.counters,
      uplink: this.#cloud?.state.uplink ?? null,
      models: this.#models.stats,
      modelProcess: this.#host.stats,
      trainings: this.trainings.status,
      rounds: this.fleetLearning?.standings ?? {},
      streams: Object.fromEntries([...this.#paths].map(([name, path]) => [name, streamStatus(path)])),
      commits: this.journal.progress.commits,
      releases: this.updates ? { ...this.updates.status().models } : {},
      releaseCounts: this.updates?.counters ?? null,
      documents: Object.fromEntries(this.trust.counts),
      unanchored: this.trust.policy ? this.trust.anchor.fault : null,
    };
  }
}

import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { bindStream, type StreamShape } from "./binding.ts";
import type { Bundle } from "./bundle.ts";
import { type DecodePayload, loadVerified } from "./golden.ts";
import type { HostedModel } from "./hosted-model.ts";
import type { ModelHost } from "./model-host.ts";
import type { Registry } from "./registry.ts";

export type LiveModelsOptions = {
  readonly registry: Registry;
  readonly host: ModelHost;
  readonly log: Log;
  /** How golden samples' payloads are read. Default: JSON objects with the card's fields as keys. */
  readonly decode?: DecodePayload;
  /** Time between two looks at the bundles, ms. */
  readonly lookEveryMs?: number;
  /**
   * A changed bundle is loaded and verified: from now on the stream's batches are to run on it. Called for each stream
   * that uses it, all in one turn of the loop; the old version is freed after the batches that were sent to it.
   */
  onSwap(stream: string, model: HostedModel): void;
};

export type BoundModel = {
  readonly model: HostedModel;
  /** The stream's fields in the order of the model's columns. */
  readonly fields: readonly string[];
};

type Use = { readonly stream: string; readonly fields: readonly string[]; readonly shape: StreamShape };
type Live = { model: HostedModel; readonly uses: Use[]; fault: string | undefined };

/**
 * The models that streams run on. Watches their bundles: a changed one is opened, bound, loaded and verified beside the
 * old, and takes over when all of that went well; else the old one stays, and the log says why.
 */
export class LiveModels implements Component {
  readonly name = "live models";
  readonly #options: LiveModelsOptions;
  readonly #live = new Map<string, Live>();
  #endWatch: (() => void) | undefined;
  /** One change at a time: two loads of large models side by side need the memory of four. */
  #last: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(options: LiveModelsOptions) {
    this.#options = options;
  }

  /** What runs, and why a newer version does not. */
  get stats() {
    return [...this.#live].map(([name, { model, uses, fault }]) => {
      const streams = uses.map(({ stream }) => stream);
      return { name, version: model.version, hash: model.hash, streams, ...(fault ? { fault } : {}) };
    });
  }

  /**
   * Opens a model for a stream, once for all streams that share it. The host must run; call before `start`.
   * @param fields  what the stream has after its transformations
   * @throws TidegateError MODEL_MISSING, CARD_INVALID, MODEL_UNBOUND, GOLDEN_FAILED and those of loading
   */
  async use(name: string, stream: string, fields: readonly string[], shape: StreamShape = {}): Promise<BoundModel> {
    const { registry, host, decode } = this.#options;
    let live = this.#live.get(name);
    const card = live?.model.bundle.card;
    const bundle = live?.model.bundle ?? (await registry.open(name));
    const order = bindStream(card ?? bundle.card, stream, fields, shape);
    live ??= { model: await loadVerified(bundle, host, decode), uses: [], fault: undefined };
    this.#live.set(name, live);
    live.uses.push({ stream, fields, shape });
    return { model: live.model, fields: order };
  }

  /** The version of a model that runs, and the streams that run on it; undefined when none does. */
  running(name: string): { readonly model: HostedModel; readonly streams: readonly string[] } | undefined {
    const live = this.#live.get(name);
    return live && { model: live.model, streams: live.uses.map(({ stream }) => stream) };
  }

  /**
   * Tells whether a bundle may take the place of the version that runs: its fields and its window have to suit all streams.
   * @throws TidegateError MODEL_UNBOUND, MODEL_VERSION_TAKEN
   */
  check(bundle: Bundle): void {
    const live = this.#live.get(bundle.name);
    if (live) checkSuccessor(bundle, live);
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { registry, lookEveryMs } = this.#options;
    this.#isStopping = false;
    const changed = (name: string) => {
      this.#last = this.#last.then(() => this.reload(name));
    };
    this.#endWatch = registry.watch([...this.#live.keys()], changed, lookEveryMs);
  }

  async stop(_deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    this.#endWatch?.();
    await this.#last;
  }

  /** Takes up a changed bundle now. Never throws: what is wrong with it is logged and kept in `stats`. */
  async reload(name: string): Promise<void> {
    const { log } = this.#options;
    const live = this.#live.get(name);
    if (!live) return;
    try {
      const { model: old } = live;
      const model = await this.#renewed(name, live);
      live.fault = undefined;
      if (!model) return;
      live.model = model;
      for (const { stream } of live.uses) this.#options.onSwap(stream, model);
      log.info({ model: name, version: model.version, before: old.version }, "model swapped");
      await this.#options.host.unload(old);
    } catch (thrown) {
      if (this.#isStopping) return;
      live.fault = reasonOf(thrown);
      log.error(
        { model: name, version: live.model.version, error: live.fault },
        "changed model refused, old one stays",
      );
    }
  }

  /** The changed bundle's model, loaded and verified; undefined when nothing that counts has changed. */
  async #renewed(name: string, live: Live): Promise<HostedModel | undefined> {
    const { registry, host, decode } = this.#options;
    const bundle = await registry.open(name);
    if (bundle.hash === live.model.hash) return undefined;
    checkSuccessor(bundle, live);
    return loadVerified(bundle, host, decode);
  }
}

function checkSuccessor(bundle: Bundle, { model: old, uses }: Live): void {
  const { name } = bundle;
  if (bundle.card.version === old.version)
    throw new TidegateError("MODEL_VERSION_TAKEN", { model: name, version: old.version });
  for (const { stream, fields, shape } of uses) bindStream(bundle.card, stream, fields, shape);
  if (shapeOf(bundle) === shapeOf(old.bundle)) return;
  // Windows that wait were cut for the old card, and pipelines hold halves of them.
  const reason = "its window or its fields are not those of the version that runs: restart to take it";
  throw new TidegateError("MODEL_UNBOUND", {
    stream: uses.map(({ stream }) => stream).join(", "),
    model: name,
    reason,
  });
}

const shapeOf = ({ card }: Bundle): string => JSON.stringify([card.window, card.fields.map(({ name }) => name)]);

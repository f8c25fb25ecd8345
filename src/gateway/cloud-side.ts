import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, Lifecycle } from "../base/lifecycle.ts";
import type { Journal } from "../buffer/journal.ts";
import type { KeyRing } from "../crypto/key-ring.ts";
import { openEraseReceipt, receiptOf } from "../wire/erase-receipt.ts";
import type { Link } from "../wire/link.ts";
import type { LinkMessage, LinkSubscription, RetainedRule } from "../wire/link-options.ts";
import type { PublishAnswer } from "../wire/outgoing.ts";
import { type CloudTopics, fleetTopics, matchesFilter } from "../wire/topics.ts";
import type { Uplink } from "../wire/uplink.ts";
import { incarnationOf, openUplink } from "./cloud-uplink.ts";
import type { GatewayOptions } from "./gateway-options.ts";
import { cloudLink } from "./links.ts";
import { SinkKey } from "./sink-key.ts";
import type { StreamPath } from "./stream-path.ts";

/** Messages of the cloud's broker that one part takes. The payload is valid during the call only. */
export type CloudRoute = {
  /** MQTT filter below the fleet's own prefix. */
  readonly filter: string;
  readonly retained: RetainedRule;
  /** Must not throw: what it throws is logged, and the message counts as taken. */
  onMessage(message: Pick<LinkMessage, "topic" | "payload" | "retain">): void;
};

/** Something that talks with the cloud over the gateway's one connection. It lives while the connection is wanted. */
export type CloudPart = Component & {
  readonly routes: readonly CloudRoute[];
  /** The connection came or went. */
  onState?(isOnline: boolean): void;
  /** What it adds to the gateway's retained status document. */
  status?(): Record<string, unknown>;
};

export type CloudSideOptions = Pick<GatewayOptions, "config" | "version" | "credentialsDir" | "log"> & {
  readonly keys: Pick<KeyRing, "signer" | "identity">;
  readonly clock: Clock;
  readonly journal: Journal;
  onState(state: "online" | "offline", reason: string): void;
};

/** From the one that takes nothing to the one that takes all. */
const retainedRules: readonly RetainedRule[] = ["ignore", "first", "each"];

/** Everything that the gateway has to do with the cloud: one link, the uplink of what is owed, and the parts that talk. */
export class CloudSide implements Component {
  readonly name = "cloud";
  readonly topics: CloudTopics;
  readonly #options: CloudSideOptions;
  #link: Link | undefined;
  readonly #sinkKey: SinkKey;
  readonly #parts: CloudPart[] = [];
  readonly #routes = new Set<CloudRoute>();
  #uplink: Uplink | undefined;
  #running: Lifecycle | undefined;
  #isOnline = false;

  /** Null when the configuration names no cloud: the gateway stands alone. */
  static of(options: CloudSideOptions): CloudSide | null {
    return options.config.cloud ? new CloudSide(options) : null;
  }

  private constructor(options: CloudSideOptions) {
    this.#options = options;
    const { config, journal, log } = options;
    const fleet = fleetTopics(config.gateway.fleet);
    this.topics = fleet.gateway(config.gateway.id);
    this.#sinkKey = new SinkKey(config, journal, log);
    const { receipts, receipt } = this.topics;
    const [data, erase] = [receipt("data"), receipt("erase")];
    // One filter for the receipts of all parts: what is not known yet is passed over.
    this.#routes.add({
      filter: receipts,
      retained: "ignore",
      onMessage: ({ topic, payload }) => {
        if (topic === data) this.#uplink?.receive(payload);
        if (topic === erase) void this.#eraseReceipt(payload.slice());
      },
    });
    this.#routes.add({
      filter: fleet.dataKeys,
      retained: "first",
      onMessage: ({ payload }) => {
        if (this.#sinkKey.announce(payload)) this.wake();
      },
    });
  }

  /** The sink has erased what it was asked to. Its receipt is kept before the notice goes, or comes again with it. */
  async #eraseReceipt(payload: Uint8Array): Promise<void> {
    const { config, journal, log } = this.#options;
    const { fleet, id } = config.gateway;
    try {
      const receipt = openEraseReceipt(payload, `${fleet}/${id}`, this.#sinkKey.signer);
      if (!this.#uplink?.isProof(receiptOf(receipt))) return;
      await journal.eraseConfirm(receipt.first, receipt.version, payload);
      this.#uplink.receive(receiptOf(receipt));
      log.info({ number: receipt.version, lines: receipt.lines }, "the sink has erased it, too");
    } catch (thrown) {
      log.warn({ reason: reasonOf(thrown) }, "a sink's receipt for an erasure was not taken");
    }
  }

  /** Adds a part; before `open`. */
  add(part: CloudPart): void {
    this.#parts.push(part);
    for (const route of part.routes) this.#routes.add(route);
  }

  /**
   * Takes a route while the link lives, for what is wanted for a while only. Returns what ends it, and resolves when the
   * broker knows.
   */
  listen(route: CloudRoute): () => Promise<void> {
    this.#routes.add(route);
    void this.#resubscribe();
    return async () => {
      if (this.#routes.delete(route)) await this.#resubscribe();
    };
  }

  /**
   * Makes ready to send what the streams owe.
   * @param isNewLife  the journal began anew: its numbers have to be told apart from those before
   * @throws TidegateError when what the link needs (password, certificates) cannot be read
   */
  async open(paths: readonly StreamPath[], isNewLife: boolean): Promise<void> {
    const { config, version, keys, credentialsDir, clock, log, journal } = this.#options;
    const fingerprint = keys.identity;
    const link = cloudLink(
      { config, version, fingerprint, credentialsDir, clock, log },
      {
        subscriptions: this.#subscriptions(),
        facts: () => Object.assign({}, ...this.#parts.map((part) => part.status?.() ?? {})),
        onMessage: (message) => this.#receive(message),
        onState: (state, reason) => this.#changed(state, reason),
      },
    );
    const incarnation = await incarnationOf(journal, isNewLife);
    await this.#sinkKey.load();
    const shared = { config, journal, paths, incarnation, signer: keys.signer, sinkKey: this.#sinkKey, clock, log };
    this.#uplink = await openUplink({ ...shared, link });
    for (const path of paths) path.onStored = () => this.wake();
    this.#link = link;
  }

  async start(signal: AbortSignal): Promise<void> {
    const own = [this.#link, this.#uplink].filter((part) => part !== undefined);
    this.#running = new Lifecycle([...own, ...this.#parts]);
    await this.#running.start(signal);
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#running?.stop(deadlineMs);
  }

  /** There is something new to send. */
  wake(): void {
    this.#uplink?.wake();
  }

  /** What waits to be sent and is erased goes nowhere any more. */
  drop(isGone: (entry: { readonly stream: string; readonly body: Uint8Array }) => boolean): void {
    this.#uplink?.drop((entry) => entry.kind !== "erase" && isGone(entry));
  }

  get isOnline(): boolean {
    return this.#isOnline;
  }

  /** Publishes with QoS 1: it waits for a connection. Rejects with OUTGOING_FULL or STOPPED. */
  publish(topic: string, payload: string | Uint8Array, { retain = false } = {}): Promise<PublishAnswer> {
    if (!this.#link) return Promise.reject(new TidegateError("STOPPED", { what: "the link" }));
    return this.#link.publish(topic, payload, { qos: 1, retain });
  }

  /** Publishes the status document anew, since something that parts say in it has changed. */
  announce(): void {
    this.#link?.announce();
  }

  get state() {
    return { link: this.#link?.state ?? null, uplink: this.#uplink?.state ?? null };
  }

  #changed(state: "online" | "offline", reason: string): void {
    this.#isOnline = state === "online";
    this.#options.onState(state, reason);
    for (const part of this.#parts) part.onState?.(this.#isOnline);
    this.wake();
  }

  /** One subscription for each filter that no other one covers: a broker may deliver once for each that matches. */
  #subscriptions(): LinkSubscription[] {
    const byFilter = new Map<string, LinkSubscription>();
    for (const { filter, retained } of this.#routes) {
      const other = byFilter.get(filter)?.retained ?? "ignore";
      const most = retainedRules[Math.max(retainedRules.indexOf(retained), retainedRules.indexOf(other))] ?? retained;
      byFilter.set(filter, { topic: filter, qos: 1, retained: most });
    }
    const all = [...byFilter.values()];
    return all.filter(
      ({ topic, retained }) =>
        !all.some((other) => other.topic !== topic && other.retained === retained && matchesFilter(other.topic, topic)),
    );
  }

  async #resubscribe(): Promise<void> {
    try {
      await this.#link?.reconcile(this.#subscriptions());
    } catch (thrown) {
      this.#options.log.warn({ reason: reasonOf(thrown) }, "the cloud's broker did not answer to a subscription");
    }
  }

  #receive({ topic, payload, retain }: LinkMessage): void {
    for (const route of this.#routes) {
      if (!matchesFilter(route.filter, topic)) continue;
      try {
        route.onMessage({ topic, payload, retain });
      } catch (thrown) {
        this.#options.log.error(
          { route: route.filter, reason: reasonOf(thrown) },
          "a message of the cloud was not taken",
        );
      }
    }
  }
}

import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Signer } from "../crypto/signing.ts";
import type { Batch, BatchReader } from "../wire/batch.ts";
import { numbersOf } from "../wire/batch-head.ts";
import { signEraseReceipt } from "../wire/erase-receipt.ts";
import { receiptProof, renderReceipt } from "../wire/receipt.ts";
import { fleetTopics, shared } from "../wire/topics.ts";
import type { GatewayTrust } from "./gateway-trust.ts";
import { type Announcement, announceKeys } from "./key-announcement.ts";
import { type DomainRecord, Received } from "./received.ts";
import { SharingProbe } from "./sharing.ts";
import { SinkErasures } from "./sink-erasures.ts";
import type { Delivery, SinkOutput } from "./sink-output.ts";
import { type Incoming, newLines, openIncoming, senderOf } from "./sink-step.ts";
import type { SinkState, SinkStore } from "./sink-store.ts";

/** What the sink needs of its link. `Link` fits. */
export type SinkLink = {
  publish(topic: string, payload: string, options: { qos: 0 | 1; retain: boolean }): Promise<unknown>;
  reconcile(subscriptions: readonly { topic: string; qos: 0 | 1; retained: "ignore" }[]): Promise<void>;
  readonly state: { readonly isOnline: boolean };
};

export type SinkOptions = {
  readonly link: SinkLink;
  readonly store: SinkStore;
  readonly output: SinkOutput;
  readonly trust: GatewayTrust;
  /** The key that batches are sealed for now, and those before it. */
  readonly keys: BatchReader["secretKeys"];
  /** Signs receipts for erasures. */
  readonly signer: Signer;
  /** One fleet, or "+" for all. */
  readonly fleet?: string;
  /** `auto` shares the load with other sinks where the broker can. */
  readonly share: "auto" | "always" | "never";
  /** Fleets that are told which key to seal for, signed by this signer. */
  readonly announce?: Pick<Announcement, "fleets" | "signer">;
  readonly clock: Clock;
  readonly log: Log;
};

const group = "sink";
const maxWaiting = 1_024;
const maxWaitingBytes = 64 * 2 ** 20;
const stepBatches = 64;
const stepBytes = 8 * 2 ** 20;
const failurePauseMs = 2_000;
const logPauseMs = 60_000;
const maxLogged = 1_024;

const rankOf = ({ head }: Batch): number => (head.kind === "erase" ? 0 : 1);

/** The filters that a sink may have subscribed in an earlier life. */
export const sinkFilters = (fleet = "+"): string[] => {
  const { data, erasures } = fleetTopics(fleet).all;
  return [data, shared(group, data), erasures];
};

/**
 * Opens what gateways send and hands it on, once.
 *
 * - Durable before receipted: a receipt follows the output and the record of it, never the other way round.
 * - A batch that cannot be taken gets no receipt: its gateway keeps it and sends it again.
 * - What waits is bounded; beyond it batches are left to be sent again.
 */
export class Sink implements Component {
  readonly name = "sink";
  readonly #options: SinkOptions;
  readonly #probe = new SharingProbe();
  readonly #stopping = new AbortController();
  #received = new Received();
  #erasures = new SinkErasures();
  #stored: SinkState | undefined;
  #waiting: Incoming[] = [];
  #waitingBytes = 0;
  #run: Promise<void> | undefined;
  #subscribing: Promise<void> | undefined;
  #isShared: boolean | undefined;
  #isFailing = false;
  /** Records of lives long gone, to be forgotten with the next step. */
  #forgotten: readonly DomainRecord[] = [];
  #probes = 0;
  readonly #loggedAt = new Map<string, number>();
  readonly counters = { batches: 0, lines: 0, repeatedBatches: 0, rejected: 0, overflow: 0, receipts: 0, failures: 0 };

  #keys: SinkOptions["keys"];
  #announced: SinkOptions["keys"] | undefined;

  constructor(options: SinkOptions) {
    this.#options = options;
    this.#keys = options.keys;
  }

  /** Takes up what was received before, then subscribes; call `linkChanged` when the link's state changes. */
  async start(): Promise<void> {
    const { store, output, trust } = this.#options;
    const state = await store.load();
    this.#stored = state;
    this.#received = new Received(state.domains.values());
    this.#erasures.load(state);
    trust.load(state);
    await output.open(state, store);
    this.linkChanged();
  }

  async stop(): Promise<void> {
    const { store, output } = this.#options;
    this.#stopping.abort();
    await this.#run;
    await output.close();
    await store.close();
  }

  get state() {
    return {
      waiting: this.#waiting.length,
      isShared: this.#isShared ?? null,
      isFailing: this.#isFailing,
      ...this.counters,
    };
  }

  /** From now on batches are opened with these keys, the newest first, and gateways are told of them. */
  useKeys(keys: SinkOptions["keys"]): void {
    this.#keys = keys;
    this.linkChanged();
  }

  /** The first connection decides how to subscribe; later ones find the subscription in the link. */
  linkChanged(): void {
    const { link, log } = this.#options;
    if (!link.state.isOnline || this.#stopping.signal.aborted) return;
    if (this.#subscribing) {
      void this.#announce().catch((thrown: unknown) =>
        log.warn({ reason: reasonOf(thrown) }, "keys not announced yet"),
      );
      return;
    }
    this.#subscribing = this.#subscribe().catch((thrown: unknown) => {
      log.warn({ reason: reasonOf(thrown) }, "not subscribed yet");
      this.#subscribing = undefined;
    });
  }

  async #subscribe(): Promise<void> {
    const { link, share, log, fleet } = this.#options;
    const isShared = share === "auto" ? await this.#probe.run(link) : share === "always";
    // A connection that broke meanwhile tells nothing; one that breaks every time is the broker's answer.
    if (share === "auto" && !isShared && !link.state.isOnline && this.#probes++ === 0) {
      throw new TidegateError("LINK_DOWN");
    }
    const [plain, together, erasures = ""] = sinkFilters(fleet);
    const topic = (isShared ? together : plain) ?? "";
    const both = [topic, erasures].map((filter) => ({ topic: filter, qos: 1, retained: "ignore" }) as const);
    await link.reconcile(both);
    this.#isShared = isShared;
    if (share === "auto" && !isShared) log.warn("the broker serves no shared subscriptions: run one sink only");
    log.info({ topic }, "the sink listens");
    await this.#announce();
  }

  async #announce(): Promise<void> {
    const { announce, link, store } = this.#options;
    const keys = this.#keys;
    if (!announce || !this.#stored || this.#announced === keys) return;
    await announceKeys({ ...announce, keys: keys.map(({ publicKey }) => publicKey) }, link, store, this.#stored);
    this.#announced = keys;
  }

  /** A message of the link; its payload is copied. */
  receive(topic: string, payload: Uint8Array): void {
    if (this.#probe.receive(topic) || this.#stopping.signal.aborted) return;
    if (this.#waiting.length >= maxWaiting || this.#waitingBytes + payload.length > maxWaitingBytes) {
      this.counters.overflow++;
      return;
    }
    this.#waiting.push({ topic, payload: new Uint8Array(payload) });
    this.#waitingBytes += payload.length;
    this.#kick();
  }

  #kick(): void {
    this.#run ??= this.#work().finally(() => {
      this.#run = undefined;
      if (this.#waiting.length > 0 && !this.#stopping.signal.aborted) this.#kick();
    });
  }

  async #work(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stopping;
    while (this.#waiting.length > 0 && !signal.aborted) {
      const batches = await this.#open(this.#takeSome());
      try {
        await this.#step(batches);
        if (this.#isFailing) log.info("the sink hands on again");
        this.#isFailing = false;
      } catch (thrown) {
        this.counters.failures++;
        if (!this.#isFailing) log.error({ reason: reasonOf(thrown) }, "what was received could not be handed on");
        this.#isFailing = true;
        await sleep(failurePauseMs, signal);
      }
    }
  }

  #takeSome(): Incoming[] {
    let bytes = 0;
    let count = 0;
    for (const { payload } of this.#waiting) {
      bytes += payload.length;
      if (count > 0 && (bytes > stepBytes || count >= stepBatches)) break;
      count++;
    }
    const some = this.#waiting.splice(0, count);
    this.#waitingBytes -= some.reduce((sum, { payload }) => sum + payload.length, 0);
    return some;
  }

  async #open(incoming: readonly Incoming[]): Promise<Batch[]> {
    const { trust } = this.#options;
    const reader = { secretKeys: this.#keys, isTrusted: trust.isTrusted.bind(trust) };
    const batches: Batch[] = [];
    for (const message of incoming) {
      try {
        const batch = await openIncoming(message, reader);
        trust.used(batch.head);
        batches.push(batch);
      } catch (thrown) {
        this.counters.rejected++;
        this.#logRejected(message.topic, thrown);
      }
    }
    return batches;
  }

  /** Hands on the new lines of some batches, writes down that it has them, and says so. */
  async #step(batches: readonly Batch[]): Promise<void> {
    if (batches.length === 0) return;
    const { trust, store, output } = this.#options;
    // After a failure the record is put straight before anything it speaks of is touched again.
    if (this.#isFailing) await store.commit({});
    await trust.save(store);
    // What this step receives counts when the step is durable: it works on a copy of the records it touches.
    const received = this.#received.fork(batches.map(({ head }) => head));
    const { erasures, values } = await this.#erase(batches);
    const deliveries: Delivery[] = [];
    const domains = new Map(this.#forgotten.map((record) => [record.domain, record]));
    // Erasures first: with them it is known which lives of a gateway came before.
    for (const batch of batches.toSorted((a, b) => rankOf(a) - rankOf(b))) {
      const delivery = newLines(batch, received, erasures);
      if (!delivery) this.counters.repeatedBatches++;
      else if (delivery.lines.length > 0) deliveries.push(delivery);
      for (const record of received.add(batch.head)) domains.set(record.domain, record);
    }
    try {
      const { files = {} } = deliveries.length > 0 ? await output.write(deliveries) : {};
      await store.commit({ domains: [...domains.values()], files, ...(values ? { values } : {}) });
      output.confirm?.(files);
    } catch (thrown) {
      await output.abandon?.();
      throw thrown;
    }
    this.#erasures = erasures;
    this.#forgotten = batches.flatMap(({ head }) => this.#received.add(head).filter(({ spans }) => spans.length === 0));
    this.counters.batches += batches.length;
    this.counters.lines += deliveries.reduce((sum, { lines }) => sum + lines.length, 0);
    for (const batch of batches) this.#receipt(batch);
  }

  /** Erases what the gateways of these batches ask for, of their own. */
  async #erase(batches: readonly Batch[]): Promise<ReturnType<SinkErasures["with"]>> {
    const asked = batches.flatMap((batch) => this.#erasures.asked(batch, numbersOf(batch.head), this.#received));
    const done = [];
    for (const erasure of asked) {
      const lines = await this.#options.output.erase(erasure);
      const { fleet, gateway, n } = erasure;
      this.#options.log.info({ gateway: `${fleet}/${gateway}`, number: n, lines }, "erased, as the gateway asked");
      done.push({ ...erasure, lines });
    }
    return this.#erasures.with(done);
  }

  #receipt({ head, token }: Batch): void {
    const { incarnation, lane, stream, last, fleet, gateway } = head;
    const said = { incarnation, lane, stream, upTo: last };
    const receipt = { ...said, proof: receiptProof(token, said) };
    let text = renderReceipt(receipt);
    if (head.kind === "erase") {
      const lines = this.#erasures.linesOf(head, numbersOf(head));
      const issuedAt = new Date(this.#options.clock.now()).toISOString();
      const about = { first: head.n, lines, receipt, issuedAt };
      text = JSON.stringify(signEraseReceipt(`${fleet}/${gateway}`, about, this.#options.signer));
    }
    const topic = fleetTopics(fleet)
      .gateway(gateway)
      .receipt(head.kind === "erase" ? "erase" : "data");
    // A receipt that is lost is given again when the batch comes again.
    this.#options.link.publish(topic, text, { qos: 1, retain: false }).then(
      () => {
        this.counters.receipts++;
      },
      () => {},
    );
  }

  #logRejected(topic: string, thrown: unknown): void {
    const { clock, log } = this.#options;
    const code = thrown instanceof TidegateError ? thrown.code : "BUG";
    const gateway = senderOf(topic);
    const name = `${gateway} ${code}`;
    const now = clock.monotonic();
    if (now - (this.#loggedAt.get(name) ?? Number.NEGATIVE_INFINITY) < logPauseMs) return;
    if (this.#loggedAt.size >= maxLogged) this.#loggedAt.clear();
    this.#loggedAt.set(name, now);
    log.warn({ gateway, code, reason: reasonOf(thrown) }, "a batch was not taken");
  }
}

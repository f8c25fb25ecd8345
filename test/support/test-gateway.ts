import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { seededRandom } from "../../src/base/random.ts";
import { ephemeralKeyRing } from "../../src/crypto/key-ring.ts";
import { openDocument } from "../../src/crypto/signed-document.ts";
import { parseRound, type RoundDocument } from "../../src/federated/round-document.ts";
import { isSelected } from "../../src/federated/selection.ts";
import { encodeMoments, momentsOf } from "../../src/federated/statistics.ts";
import { encodeBody } from "../../src/federated/update-body.ts";
import { encodeUpdate, type Update } from "../../src/federated/update-header.ts";
import { cutUpdate } from "../../src/federated/update-parts.ts";
import { openReceipt, receiptName, type UpdateReceipt } from "../../src/federated/update-receipt.ts";
import { updateSpace } from "../../src/federated/update-space.ts";
import { Link } from "../../src/wire/link.ts";
import type { LinkOptions } from "../../src/wire/link-options.ts";
import { fleetTopics } from "../../src/wire/topics.ts";

const retryMs = 150;

export type TestGatewayOptions = {
  readonly id: string;
  readonly url: string;
  readonly model: string;
  /** Keys that may sign rounds and receipts. */
  readonly trusted: readonly Uint8Array[];
  readonly maxPayload?: number;
  readonly credentials?: LinkOptions["credentials"];
  /** Changes what is sent: for updates that are wrong on purpose. */
  spoil?(update: Update, round: RoundDocument): Update;
  /** How long it "trains", ms. */
  readonly trainMs?: number;
  /** Whether it takes part in rounds by itself. */
  readonly isPassive?: boolean;
};

/**
 * A gateway as far as rounds go: real link, real parts, real receipts. What it has "learned" follows from its id, the base
 * and the round alone, so that two runs of a fleet give the same bytes.
 */
export class TestGateway {
  readonly keys = ephemeralKeyRing();
  readonly id: string;
  readonly link: Link;
  readonly receipts: UpdateReceipt[] = [];
  readonly rounds: RoundDocument[] = [];
  readonly answers: Buffer[] = [];
  readonly #options: TestGatewayOptions;
  readonly #topics = fleetTopics("demo");
  #pending: { hash: string; round: number; timer: NodeJS.Timeout } | undefined;

  constructor(options: TestGatewayOptions) {
    this.#options = options;
    this.id = options.id;
    const own = this.#topics.gateway(options.id);
    this.link = new Link({
      name: "cloud",
      settings: { url: options.url, protocol: "auto", receiveMaximum: 256, sessionExpiry: 60_000, keepalive: 30_000 },
      clientId: `test-${options.id}`,
      credentials: options.credentials ?? {},
      subscriptions: [
        { topic: this.#topics.round(options.model), qos: 1, retained: "first" },
        { topic: own.receipts, qos: 1, retained: "ignore" },
      ],
      ack: "auto",
      maxPacket: 1 << 20,
      backoff: { baseMs: 20, maxMs: 200 },
      onMessage: ({ topic, payload }) => this.#receive(topic, Buffer.from(payload)),
      clock: systemClock,
      log: silentLog,
      random: Math.random,
    });
  }

  start = (): Promise<void> => this.link.start();

  async stop(): Promise<void> {
    clearTimeout(this.#pending?.timer);
    await this.link.stop(500);
  }

  get round(): RoundDocument | undefined {
    return this.rounds.at(-1);
  }

  #receive(topic: string, payload: Buffer): void {
    const { model, trusted } = this.#options;
    if (topic === this.#topics.round(model)) {
      const { document } = openDocument(payload, { kind: "round", audience: "demo", trusted });
      const round = parseRound(document);
      // As the gate of a real gateway has it: nothing older than what was seen.
      if (this.round && (round.version <= this.round.version || round.epoch < this.round.epoch)) return;
      this.rounds.push(round);
      if (!this.#options.isPassive && round.state === "open" && isSelected(this.id, round)) this.#train(round);
      return;
    }
    if (topic !== this.#topics.gateway(this.id).receipt(receiptName(model))) {
      this.answers.push(payload);
      return;
    }
    const receipt = openReceipt(payload, { fleet: "demo", gateway: this.id, trusted });
    this.receipts.push(receipt);
    if (receipt.update === this.#pending?.hash && receipt.status !== "partial") this.#settle();
    else if (receipt.status === "partial" && receipt.update === this.#pending?.hash) this.#sendPending(receipt.missing);
  }

  /** An announcement of a round that it has answered already changes nothing. */
  #train(round: RoundDocument): void {
    if (this.#trained === round.round) return;
    this.#trained = round.round;
    setTimeout(() => this.answer(round), this.#options.trainMs ?? 0);
  }

  #trained = -1;

  #settle(): void {
    clearTimeout(this.#pending?.timer);
    this.#pending = undefined;
  }

  #sendPending: (parts?: readonly number[]) => void = () => {};

  /** What it has learned in a round. */
  updateFor(round: RoundDocument): Update {
    const { mode, base, codec } = round;
    const random = seededRandom(
      Number.parseInt(base.hash.slice(0, 7), 16) +
        [...this.id].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7) +
        round.round,
    );
    const header = {
      v: 1 as const,
      fleet: "demo",
      gateway: this.id,
      model: round.subject,
      round: round.round,
      base: base.hash,
      mode,
    };
    const metrics = { loss: 1 / (round.round + 1) };
    const rest = { codec: codec.codec, weight: 1, metrics };
    if (round.statistics) {
      const { values, maxCount } = round.statistics;
      const moments = values.flatMap(({ size, low, high }) =>
        Array.from({ length: size }, () =>
          momentsOf(
            Array.from({ length: 50 }, () => low + random() * (high - low)),
            { low, high, maxCount },
          ),
        ),
      );
      return { header: { ...header, ...rest, length: moments.length }, body: encodeMoments(moments) };
    }
    const vector = Float32Array.from({ length: base.length }, () => (random() - 0.5) / 50);
    const space = updateSpace({ header: codec, length: base.length, base: { hash: base.hash, round: round.round } });
    return { header: { ...header, ...rest, length: base.length }, body: encodeBody(vector, space, random) };
  }

  /** Trains, as it were, and sends until it has a receipt. */
  answer(round: RoundDocument): void {
    const made = this.updateFor(round);
    const { spoil } = this.#options;
    this.send(spoil ? spoil(made, round) : made, round);
  }

  /** Sends an update until there is a receipt for it. */
  send(update: Update, round: RoundDocument): string {
    const cut = this.cut(update, round);
    clearTimeout(this.#pending?.timer);
    const all = Array.from({ length: cut.of }, (_, n) => n);
    const again = () => {
      this.#sendPending([cut.of - 1]);
      if (this.#pending) this.#pending.timer = setTimeout(again, retryMs);
    };
    this.#sendPending = (parts = all) => {
      for (const n of parts) this.sendPart(cut.part(n), round);
    };
    this.#pending = { hash: cut.hash, round: round.round, timer: setTimeout(again, retryMs) };
    this.#sendPending();
    return cut.hash;
  }

  cut(update: Update, round: RoundDocument) {
    const { fleet, model } = update.header;
    const facts = {
      fleet,
      gateway: this.id,
      model,
      round: update.header.round,
      maxPayload: this.#options.maxPayload ?? 4_096,
    };
    const box = new Uint8Array(Buffer.from(round.box, "base64"));
    return cutUpdate(encodeUpdate(update), { ...facts, box, signer: this.keys.signer });
  }

  sendPart(part: Uint8Array, round: RoundDocument, n = round.round): void {
    const topic = this.#topics.gateway(this.id).update(round.subject, n);
    this.link.publish(topic, part, { qos: 1 }).catch(() => {});
  }
}

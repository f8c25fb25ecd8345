import { ephemeralKeyRing } from "../../src/crypto/key-ring.ts";
import { type Batch, decodeBatch } from "../../src/wire/batch.ts";
import { numbersOf } from "../../src/wire/batch-head.ts";
import type { Outbox } from "../../src/wire/owed-source.ts";
import { receiptProof, renderReceipt } from "../../src/wire/receipt.ts";
import type { UplinkLink } from "../../src/wire/uplink-options.ts";

type Kind = "result" | "aggregate";
type Entry = { n: number; stream: string; kind: Kind; at: number; body: Uint8Array };

/** An outbox in memory: numbers grow by one within a lane and are never used again. */
export class MemoryOutbox implements Outbox {
  readonly lanes: Record<"alarm" | "rest", Entry[]> = { alarm: [], rest: [] };
  readonly #next = { alarm: 1, rest: 1 };
  loads = 0;
  receipts = 0;

  add(lane: "alarm" | "rest", stream: string, value: object | string, kind: Kind = "result"): number {
    const n = this.#next[lane]++;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    this.lanes[lane].push({ n, stream, kind, at: Date.now(), body: new Uint8Array(Buffer.from(text)) });
    return n;
  }

  async outboxAfter(lane: "alarm" | "rest", n: number, limit: number, maxBytes: number): Promise<Entry[]> {
    this.loads++;
    const found: Entry[] = [];
    let bytes = 0;
    for (const entry of this.lanes[lane]) {
      if (entry.n <= n) continue;
      bytes += entry.body.length;
      if (found.length >= limit || (found.length > 0 && bytes > maxBytes)) break;
      found.push(entry);
    }
    return found;
  }

  async outboxReceipt(lane: "alarm" | "rest", n: number): Promise<void> {
    this.receipts++;
    this.lanes[lane] = this.lanes[lane].filter((entry) => entry.n > n);
  }

  get size(): number {
    return this.lanes.alarm.length + this.lanes.rest.length;
  }
}

/** What becomes of one batch on its way: taken, lost on the way there or back, or refused by the broker. */
export type Fate = "taken" | "lost" | "receipt lost" | "nobody" | "refused" | "twice";

/** A broker and a sink in memory. */
export class MemoryCloud implements UplinkLink {
  readonly keys = ephemeralKeyRing();
  state = { isOnline: true };
  /** Each batch that the sink opened, repeats too. */
  readonly batches: Batch[] = [];
  readonly payloads: { topic: string; payload: Uint8Array }[] = [];
  /** Numbers by lane and stream, in the order in which the sink stored them, without repeats. */
  readonly stored = new Map<string, number[]>();
  flying = 0;
  maxFlying = 0;
  delayMs = 0;
  fate: (topic: string, payload: Uint8Array) => Fate = () => "taken";
  onReceipt: (receipt: Uint8Array) => void = () => {};

  async publish(topic: string, payload: Uint8Array): Promise<{ reason: number }> {
    this.payloads.push({ topic, payload });
    const fate = this.fate(topic, payload);
    if (fate === "nobody") return { reason: 0x10 };
    if (fate === "refused") return { reason: 0x97 };
    if (fate === "lost") return { reason: 0 };
    this.flying++;
    this.maxFlying = Math.max(this.maxFlying, this.flying);
    void this.#take(payload, fate);
    return { reason: 0 };
  }

  async #take(payload: Uint8Array, fate: Fate): Promise<void> {
    const batch = await decodeBatch(payload, { secretKeys: [this.keys.box], isTrusted: () => true });
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    this.flying--;
    this.batches.push(batch);
    const { lane, stream, incarnation, last } = batch.head;
    const key = `${lane}/${stream}`;
    const stored = this.stored.get(key) ?? [];
    this.stored.set(key, stored);
    for (const n of numbersOf(batch.head)) if (!stored.includes(n)) stored.push(n);
    if (fate === "receipt lost") return;
    const said = { incarnation, lane, stream, upTo: last };
    const receipt = Buffer.from(renderReceipt({ ...said, proof: receiptProof(batch.token, said) }));
    this.onReceipt(receipt);
    if (fate === "twice") this.onReceipt(receipt);
  }
}

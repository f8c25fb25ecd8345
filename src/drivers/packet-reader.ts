import { TopicCache } from "./topic-cache.ts";

/** A PUBLISH as it came. One object serves all of them: it and its payload are valid during the call only. */
export type PublishPacket = {
  topic: string;
  payload: Uint8Array;
  qos: 0 | 1;
  retain: boolean;
  dup: boolean;
  messageId: number;
};

export type PacketEvents = {
  /** False: nothing more is handed out until `goOn`. */
  onPublish(packet: PublishPacket): boolean;
  onPuback(id: number, code: number): void;
  /** Everything else, as it came; nothing more is handed out until `goOn`. Valid during the call only. */
  onOther(bytes: Uint8Array): void;
  /** All that was held back has been handed out: more may come. */
  onRoom(): void;
};

const types = { publish: 3, puback: 4 } as const;
/** PUBREL, SUBSCRIBE and UNSUBSCRIBE have a flag that is always set. */
const flagged = new Set([6, 8, 10]);
const firstCapacity = 1 << 16;
/** Memory that one large packet took is given back. */
const keptCapacity = 1 << 20;
const noPayload = new Uint8Array(0);

/**
 * Cuts what a broker sends into packets, and reads those of which there are many: plain PUBLISH of QoS 0 and 1, and
 * PUBACK. A general client spends more on each of them than the rest of their path costs. What is not plain (properties,
 * an odd length, QoS 2) and every other packet is left to that client, in its place among the others.
 */
export class PacketReader {
  readonly #events: PacketEvents;
  /** MQTT 5 puts properties between head and payload. */
  readonly #hasProperties: boolean;
  readonly #maxPacket: number;
  readonly #topics = new TopicCache();
  readonly #packet: PublishPacket = {
    ...{ topic: "", payload: noPayload, qos: 0, retain: false, dup: false, messageId: 0 },
  };
  /** What waits to be cut: the start of a packet, or all that came after somebody asked to wait. */
  #held: Buffer = Buffer.allocUnsafe(firstCapacity);
  #heldBytes = 0;
  #isHeldUp = false;
  #isCutting = false;

  /** @param maxPacket  largest packet that is taken, bytes */
  constructor(events: PacketEvents, version: 4 | 5, maxPacket: number) {
    this.#events = events;
    this.#hasProperties = version === 5;
    this.#maxPacket = maxPacket;
  }

  /** Somebody asked to wait: nothing more should be read. */
  get isHeldUp(): boolean {
    return this.#isHeldUp;
  }

  /** @throws Error when a packet is larger than may be, and whatever the events throw */
  push(bytes: Buffer): void {
    if (this.#heldBytes === 0 && !this.#isHeldUp) {
      this.#hold(bytes, this.#cut(bytes, bytes.length));
      return;
    }
    this.#hold(bytes, 0);
    if (!this.#isHeldUp) this.#cutHeld();
  }

  /** Ends a wait. */
  goOn(): void {
    if (!this.#isHeldUp) return;
    this.#isHeldUp = false;
    // From within an event: the loop that called it goes on by itself.
    if (this.#isCutting) return;
    this.#cutHeld();
    if (!this.#isHeldUp) this.#events.onRoom();
  }

  #cutHeld(): void {
    const used = this.#cut(this.#held, this.#heldBytes);
    this.#held.copyWithin(0, used, this.#heldBytes);
    this.#heldBytes -= used;
    if (this.#heldBytes === 0 && this.#held.length > keptCapacity) this.#held = Buffer.allocUnsafe(firstCapacity);
  }

  #hold(bytes: Buffer, from: number): void {
    const size = this.#heldBytes + bytes.length - from;
    if (size > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(size, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    bytes.copy(this.#held, this.#heldBytes, from);
    this.#heldBytes = size;
  }

  /** Hands out the whole packets at the start of `bytes`; returns how many bytes they took. */
  #cut(bytes: Buffer, size: number): number {
    let at = 0;
    this.#isCutting = true;
    try {
      while (!this.#isHeldUp && size - at >= 2) {
        const head = bytes[at] as number;
        if (!isHead(head)) return this.#leaveAll(bytes, at, size);
        let length = bytes[at + 1] as number;
        let start = at + 2;
        if (length > 127) {
          length &= 127;
          let shift = 7;
          let digit = 128;
          for (; digit > 127 && shift <= 21 && start < size; shift += 7) {
            digit = bytes[start++] as number;
            length += (digit & 127) << shift;
          }
          if (digit > 127 && shift > 21) return this.#leaveAll(bytes, at, size);
          if (digit > 127) break;
        }
        if (start - at + length > this.#maxPacket)
          throw new Error(`a packet of ${length} bytes, where ${this.#maxPacket} were agreed`);
        const end = start + length;
        if (end > size) break;
        if (!this.#isTaken(head, bytes, start, end)) this.#leave(bytes.subarray(at, end));
        at = end;
      }
    } finally {
      this.#isCutting = false;
    }
    return at;
  }

  #isTaken(head: number, bytes: Buffer, start: number, end: number): boolean {
    if (head >> 4 === types.publish) return this.#isPublish(head, bytes, start, end);
    if (head !== types.puback << 4 || end - start < 2) return false;
    this.#events.onPuback(bytes.readUInt16BE(start), end - start > 2 ? (bytes[start + 2] as number) : 0);
    return true;
  }

  #isPublish(head: number, bytes: Buffer, start: number, end: number): boolean {
    const qos = (head >> 1) & 3;
    if (qos > 1 || end - start < 2) return false;
    const topicEnd = start + 2 + (((bytes[start] as number) << 8) | (bytes[start + 1] as number));
    const at = topicEnd + (qos === 1 ? 2 : 0) + (this.#hasProperties ? 1 : 0);
    if (topicEnd === start + 2 || at > end) return false;
    if (this.#hasProperties && bytes[at - 1] !== 0) return false;
    const packet = this.#packet;
    packet.messageId = 0;
    if (qos === 1) {
      packet.messageId = bytes.readUInt16BE(topicEnd);
      if (packet.messageId === 0) return false;
    }
    packet.qos = qos === 1 ? 1 : 0;
    packet.topic = this.#topics.textOf(bytes, start + 2, topicEnd);
    packet.payload = bytes.subarray(at, end);
    packet.retain = (head & 1) !== 0;
    packet.dup = (head & 8) !== 0;
    if (!this.#events.onPublish(packet)) this.#isHeldUp = true;
    return true;
  }

  /** No packet that MQTT knows: the client says what is wrong with it, at once. */
  #leaveAll(bytes: Buffer, at: number, size: number): number {
    this.#leave(bytes.subarray(at, size));
    return size;
  }

  #leave(bytes: Uint8Array): void {
    this.#isHeldUp = true;
    this.#events.onOther(bytes);
  }
}

/** Whether a first byte can begin a packet (MQTT 5, 2.1.3). */
function isHead(head: number): boolean {
  const type = head >> 4;
  if (type === types.publish) return (head & 6) !== 6;
  return type !== 0 && (head & 15) === (flagged.has(type) ? 2 : 0);
}

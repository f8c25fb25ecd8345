/** What a PUBLISH says beside topic and payload. */
export type PublishHead = {
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly contentType?: string | undefined;
};

const stageBytes = 1 << 15;
/** Type, remaining length, length of the topic, packet id, length of the properties. */
const maxHead = 1 + 4 + 2 + 2 + 4;

/**
 * Encodes PUBLISH packets one after the other into one piece of memory, which leaves in one write: what a batch of results
 * led to goes out at once.
 */
export class PacketWriter {
  readonly #write: (bytes: Uint8Array) => boolean;
  readonly #hasProperties: boolean;
  #stage: Buffer = Buffer.allocUnsafe(stageBytes);
  #used = 0;
  #isFlushDue = false;

  /** @param write  tells whether the memory may be used again when it returns */
  constructor(write: (bytes: Uint8Array) => boolean, version: 4 | 5) {
    this.#write = write;
    this.#hasProperties = version === 5;
  }

  /** Bytes that wait for the end of this turn. */
  get staged(): number {
    return this.#used;
  }

  /** @param id  packet id; without meaning at QoS 0 */
  publish(topic: string, payload: string | Uint8Array, { qos, retain, contentType }: PublishHead, id: number): void {
    const topicBytes = Buffer.byteLength(topic);
    const payloadBytes = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
    const typeBytes = contentType === undefined || !this.#hasProperties ? 0 : Buffer.byteLength(contentType);
    const propertyBytes = typeBytes === 0 ? 0 : 3 + typeBytes;
    const propertyHead = this.#hasProperties ? lengthBytes(propertyBytes) : 0;
    const length = 2 + topicBytes + (qos === 1 ? 2 : 0) + propertyHead + propertyBytes + payloadBytes;
    const size = maxHead + topicBytes + propertyBytes + payloadBytes;
    if (this.#used + size > this.#stage.length) this.flush();
    const isLarge = size > this.#stage.length;
    const into = isLarge ? Buffer.allocUnsafe(size) : this.#stage;
    let at = isLarge ? 0 : this.#used;
    into[at++] = 0x30 | (qos << 1) | (retain ? 1 : 0);
    at = putLength(into, at, length);
    at = into.writeUInt16BE(topicBytes, at);
    at += into.write(topic, at);
    if (qos === 1) at = into.writeUInt16BE(id, at);
    if (this.#hasProperties) at = putLength(into, at, propertyBytes);
    if (typeBytes > 0 && contentType !== undefined) {
      into[at++] = 3;
      at = into.writeUInt16BE(typeBytes, at);
      at += into.write(contentType, at);
    }
    if (typeof payload === "string") at += into.write(payload, at);
    else {
      into.set(payload, at);
      at += payload.length;
    }
    if (isLarge) {
      this.#write(into.subarray(0, at));
      return;
    }
    this.#used = at;
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    process.nextTick(() => {
      this.#isFlushDue = false;
      this.flush();
    });
  }

  /** Writes what waits. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = this.#stage.subarray(0, this.#used);
    this.#used = 0;
    if (!this.#write(bytes)) this.#stage = Buffer.allocUnsafe(stageBytes);
  }
}

const lengthBytes = (length: number): number => (length < 128 ? 1 : length < 16_384 ? 2 : length < 2_097_152 ? 3 : 4);

/** Writes a variable byte integer (MQTT 5, 1.5.5); returns where it ends. */
function putLength(into: Buffer, at: number, length: number): number {
  let rest = length;
  let to = at;
  while (rest > 127) {
    into[to++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  into[to++] = rest;
  return to;
}

/** Cuts a stream of MQTT bytes into packets: kind, flags, and what follows the fixed header. */
export class PacketReader {
  readonly #see: (kind: number, flags: number, body: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(see: (kind: number, flags: number, body: Buffer) => void) {
    this.#see = see;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const length = readVarint(bytes, at + 1);
      if (length === null || length.end + length.value > bytes.length) break;
      const head = bytes[at] ?? 0;
      this.#see(head >> 4, head & 15, bytes.subarray(length.end, length.end + length.value));
      at = length.end + length.value;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
  }
}

/** A variable byte integer (MQTT 5, 1.5.5); null when it is not there as a whole. */
function readVarint(bytes: Buffer, from: number): { value: number; end: number } | null {
  let value = 0;
  for (let i = 0; i < 4; i++) {
    const byte = bytes[from + i];
    if (byte === undefined) return null;
    value += (byte & 127) * 128 ** i;
    if (byte < 128) return { value, end: from + i + 1 };
  }
  throw new Error("no length of MQTT is so long");
}

/** A PUBLISH packet; that of MQTT 3.1.1 has no properties. `packetId` is null with QoS 0. */
export function readPublish(
  flags: number,
  body: Buffer,
  version: number,
): { topic: string; packetId: number | null; payload: Buffer } {
  const topicEnd = 2 + body.readUInt16BE(0);
  const hasId = (flags & 6) !== 0;
  const headEnd = topicEnd + (hasId ? 2 : 0);
  const properties = version < 5 ? { value: 0, end: headEnd } : readVarint(body, headEnd);
  if (properties === null) throw new Error("a PUBLISH without properties");
  return {
    topic: body.toString("utf8", 2, topicEnd),
    packetId: hasId ? body.readUInt16BE(topicEnd) : null,
    payload: body.subarray(properties.end + properties.value),
  };
}

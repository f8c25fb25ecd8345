import type { Frame } from "../base/frame.ts";

const firstCapacity = 64;

/** Readings in order of arrival, column by column, that grow until they are taken as a frame. */
export class Columns {
  readonly #fields: readonly string[];
  readonly #keepsPayload: boolean;
  #capacity = firstCapacity;
  #count = 0;
  #source = new Uint32Array(firstCapacity);
  #ts = new Float64Array(firstCapacity);
  #arrived = new Float64Array(firstCapacity);
  #flags = new Uint8Array(firstCapacity);
  #values: Float64Array[];
  #payloads: Uint8Array[] = [];
  #payloadBytes = 0;

  constructor(fields: readonly string[], keepsPayload: boolean) {
    this.#fields = fields;
    this.#keepsPayload = keepsPayload;
    this.#values = fields.map(() => new Float64Array(firstCapacity));
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the payloads kept. */
  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  tsAt(row: number): number {
    return this.#ts[row] as number;
  }

  flagsAt(row: number): number {
    return this.#flags[row] as number;
  }

  /** Appends a reading; its values stand at `offset` of `row`. */
  push(source: number, ts: number, arrived: number, flags: number, row: Float64Array, offset: number): void {
    if (this.#count === this.#capacity) this.#resize(this.#capacity * 2);
    const at = this.#count++;
    this.#source[at] = source;
    this.#ts[at] = ts;
    this.#arrived[at] = arrived;
    this.#flags[at] = flags;
    for (let field = 0; field < this.#values.length; field++) {
      const column = this.#values[field] as Float64Array;
      column[at] = row[offset + field] as number;
    }
  }

  /** Keeps a copy of the payload of the newest `readings` rows. */
  keepPayload(payload: Uint8Array, readings: number): void {
    // Not `payload.slice`: on a Buffer that is a view of memory that the next packet overwrites.
    const copy = new Uint8Array(payload);
    for (let i = 0; i < readings; i++) this.#payloads.push(copy);
    this.#payloadBytes += copy.length;
  }

  /** What has gathered, as a frame of its own. */
  copy(identity: Pick<Frame, "stream" | "first" | "boot" | "wallOffset">): Frame | null {
    const count = this.#count;
    if (count === 0) return null;
    return {
      ...identity,
      fields: this.#fields,
      count,
      source: this.#source.slice(0, count),
      ts: this.#ts.slice(0, count),
      arrived: this.#arrived.slice(0, count),
      flags: this.#flags.slice(0, count),
      values: this.#values.map((column) => column.slice(0, count)),
      ...(this.#keepsPayload ? { payloads: this.#payloads } : {}),
    };
  }

  /** Hands over what has gathered and starts anew. */
  take(identity: Pick<Frame, "stream" | "first" | "boot" | "wallOffset">): Frame | null {
    const frame = this.copy(identity);
    if (!frame) return null;
    const { count } = frame;
    this.#count = 0;
    this.#payloads = [];
    this.#payloadBytes = 0;
    // What one burst needed is given back step by step.
    if (this.#capacity > firstCapacity && count < this.#capacity / 8) this.#resize(this.#capacity / 2);
    return frame;
  }

  #resize(capacity: number): void {
    const kept = this.#count;
    const moved = <T extends Float64Array | Uint32Array | Uint8Array>(from: T, to: T): T => {
      to.set(from.subarray(0, kept));
      return to;
    };
    this.#capacity = capacity;
    this.#source = moved(this.#source, new Uint32Array(capacity));
    this.#ts = moved(this.#ts, new Float64Array(capacity));
    this.#arrived = moved(this.#arrived, new Float64Array(capacity));
    this.#flags = moved(this.#flags, new Uint8Array(capacity));
    this.#values = this.#values.map((column) => moved(column, new Float64Array(capacity)));
  }
}

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

  constructor(fields: readonly string[], keepsPayload: boolean) {
    this.#fields = fields;
    this.#keepsPayload = keepsPayload;
    this.#values = fields.map(() => new Float64Array(firstCapacity));
  }

  get count(): number {
    return this.#count;
  }

  /** Appends a reading; its values stand at `offset` of `row`. */
  push(source: number, ts: number, arrived: number, flags: number, row: Float64Array, offset: number): void {
    if (this.#count === this.#capacity) this.#grow();
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

  keepPayload(payload: Uint8Array): void {
    this.#payloads.push(payload);
  }

  /** Hands over what has gathered and starts anew. */
  take(identity: Pick<Frame, "stream" | "first" | "boot" | "wallOffset">): Frame | null {
    const count = this.#count;
    if (count === 0) return null;
    const frame: Frame = {
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
    this.#count = 0;
    this.#payloads = [];
    return frame;
  }

  #grow(): void {
    this.#capacity *= 2;
    const larger = <T extends Float64Array | Uint32Array | Uint8Array>(column: T, empty: T): T => {
      empty.set(column);
      return empty;
    };
    this.#source = larger(this.#source, new Uint32Array(this.#capacity));
    this.#ts = larger(this.#ts, new Float64Array(this.#capacity));
    this.#arrived = larger(this.#arrived, new Float64Array(this.#capacity));
    this.#flags = larger(this.#flags, new Uint8Array(this.#capacity));
    this.#values = this.#values.map((column) => larger(column, new Float64Array(this.#capacity)));
  }
}

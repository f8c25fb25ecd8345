import { TidegateError } from "../base/errors.ts";

/** State of one stage: `stride` numbers for each slot, side by side. Read `data` anew in each call: it moves on growth. */
export type Column = { data: Float64Array; readonly stride: number };

type OwnColumn = Column & { readonly initial: number };

const none = -1;

/**
 * Which slot holds the state of which source, and all that state: every stage keeps its numbers in columns of its own,
 * so that growth, forgetting and snapshots are written once.
 *
 * Columns are declared before the first source is added.
 */
export class Slots {
  /** Most sources that have state at a time. */
  readonly limit: number;
  #columns: OwnColumn[] = [];
  #capacity = 0;
  /** Slot by source, -1 for none. */
  #slotOf = new Int32Array(0);
  /** Source by slot, -1 for a free one. */
  #sourceOf = new Int32Array(0);
  /** Slots below it have been used. */
  #used = 0;
  #free: number[] = [];

  /** @throws TidegateError PREPROCESS_INVALID */
  constructor(limit: number) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new TidegateError("PREPROCESS_INVALID", { what: "maxSources", reason: `${limit} is no count of sources` });
    this.limit = limit;
  }

  /** Numbers in one slot, over all columns. */
  get width(): number {
    return this.#columns.reduce((sum, { stride }) => sum + stride, 0);
  }

  /** Sources that have state. */
  get count(): number {
    return this.#used - this.#free.length;
  }

  /** Slots that `sourceAt` may be asked for. */
  get end(): number {
    return this.#used;
  }

  column(stride: number, initial = 0): Column {
    const column = { data: new Float64Array(this.#capacity * stride).fill(initial), stride, initial };
    this.#columns.push(column);
    return column;
  }

  /** @returns the slot of a source, -1 when it has none */
  find(source: number): number {
    return source < this.#slotOf.length ? (this.#slotOf[source] as number) : none;
  }

  /** @returns the source in a slot, -1 when it is free */
  sourceAt(slot: number): number {
    return this.#sourceOf[slot] ?? none;
  }

  /** Gives a source without slot a fresh one. @returns -1 when all are taken */
  add(source: number): number {
    if (this.count >= this.limit) return none;
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >= this.#capacity) this.#grow(slot + 1);
    if (source >= this.#slotOf.length) this.#slotOf = extended(this.#slotOf, Math.max(16, source + 1, 2 * source));
    this.#slotOf[source] = slot;
    this.#sourceOf[slot] = source;
    this.clear(slot);
    return slot;
  }

  /** Forgets a source and all its state. */
  remove(slot: number): void {
    const source = this.sourceAt(slot);
    if (source === none) return;
    this.#slotOf[source] = none;
    this.#sourceOf[slot] = none;
    this.#free.push(slot);
  }

  /** Sets a slot's state to what it was at first. */
  clear(slot: number): void {
    for (const { data, stride, initial } of this.#columns) data.fill(initial, slot * stride, (slot + 1) * stride);
  }

  reset(): void {
    this.#slotOf.fill(none);
    this.#sourceOf.fill(none);
    this.#used = 0;
    this.#free = [];
  }

  /** Copies a slot's state to `into`, `width` numbers from `at`. */
  save(slot: number, into: Float64Array, at: number): void {
    let position = at;
    for (const { data, stride } of this.#columns) {
      into.set(data.subarray(slot * stride, (slot + 1) * stride), position);
      position += stride;
    }
  }

  /** Takes a slot's state from `from`, as `save` wrote it. */
  load(slot: number, from: Float64Array, at: number): void {
    let position = at;
    for (const { data, stride } of this.#columns) {
      data.set(from.subarray(position, position + stride), slot * stride);
      position += stride;
    }
  }

  #grow(least: number): void {
    const capacity = Math.min(this.limit, Math.max(8, least, 2 * this.#capacity));
    for (const column of this.#columns) {
      const data = new Float64Array(capacity * column.stride).fill(column.initial);
      data.set(column.data);
      column.data = data;
    }
    this.#sourceOf = extended(this.#sourceOf, capacity);
    this.#capacity = capacity;
  }
}

function extended(array: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(length).fill(none);
  longer.set(array);
  return longer;
}

import { type ByteReader, type ByteWriter, maxZigzag } from "./byte-stream.ts";

/** Most decimals that a column of decimal numbers may have; more, and its numbers are stored as they are. */
const maxDecimals = 6;
const rawColumn = 255;

/** How a value is guessed from those before it: the last one of its source, or that plus the last step. */
export type Order = 1 | 2;

/** Smallest number of decimals that holds every ordinary value exactly; `rawColumn` when none does. */
function decimalsOf(values: Float64Array): number {
  let decimals = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    while (decimals <= maxDecimals && !isExact(value, decimals)) decimals++;
    if (decimals > maxDecimals) return rawColumn;
  }
  return decimals;
}

function isExact(value: number, decimals: number): boolean {
  const scale = 10 ** decimals;
  const scaled = Math.round(value * scale);
  return Math.abs(scaled) < maxZigzag && scaled / scale === value;
}

/**
 * Writes a column exactly. Decimal numbers become whole ones, and of these only what the guess misses is written; the
 * rare values that fit no whole number (NaN, infinities, -0, far out) stand in a list of their own.
 * @param source  which series each value belongs to: the guess is made within it
 */
export function encodeColumn(writer: ByteWriter, values: Float64Array, source: Uint32Array, order: Order): void {
  const decimals = decimalsOf(values);
  writer.varint(decimals);
  if (decimals === rawColumn) {
    encodeRaw(writer, values);
    return;
  }
  const scale = 10 ** decimals;
  const guess = new Guess(order);
  const odd: [number, number][] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const series = source[i] as number;
    const guessed = guess.next(series);
    const scaled = Math.round(value * scale);
    const missed = scaled - guessed;
    if (!Number.isFinite(value) || Object.is(value, -0) || !(Math.abs(missed) < maxZigzag)) {
      odd.push([i, value]);
      writer.zigzag(0);
    } else {
      writer.zigzag(missed);
      guess.learn(series, scaled);
    }
  }
  writer.varint(odd.length);
  let before = 0;
  for (const [at, value] of odd) {
    writer.varint(at - before);
    writer.float64(value);
    before = at;
  }
}

/** The inverse of `encodeColumn`. */
export function decodeColumn(reader: ByteReader, source: Uint32Array, order: Order): Float64Array {
  const decimals = reader.varint();
  const count = source.length;
  if (decimals === rawColumn) return decodeRaw(reader, count);
  const scale = 10 ** decimals;
  const guess = new Guess(order);
  const misses = new Float64Array(count);
  for (let i = 0; i < count; i++) misses[i] = reader.zigzag();
  const odd = new Map<number, number>();
  let at = 0;
  for (let left = reader.count(9); left > 0; left--) {
    at += reader.varint();
    odd.set(at, reader.float64());
  }
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const series = source[i] as number;
    const guessed = guess.next(series);
    const strange = odd.size > 0 ? odd.get(i) : undefined;
    if (strange !== undefined) {
      values[i] = strange;
      continue;
    }
    const scaled = guessed + (misses[i] as number);
    guess.learn(series, scaled);
    values[i] = scaled / scale;
  }
  return values;
}

/** Guesses the next whole number of each series. */
class Guess {
  readonly #order: Order;
  readonly #last: number[] = [];
  readonly #step: number[] = [];

  constructor(order: Order) {
    this.#order = order;
  }

  next(series: number): number {
    const last = this.#last[series] ?? 0;
    return this.#order === 1 ? last : last + (this.#step[series] ?? 0);
  }

  learn(series: number, value: number): void {
    const last = this.#last[series];
    // A first value is no step: it would throw the second guess as far off as the first.
    if (last !== undefined) this.#step[series] = Math.abs(value - last) < maxZigzag ? value - last : 0;
    this.#last[series] = value;
  }
}

/** Floating-point numbers byte by byte: all first bytes, all second bytes … since exponents and signs are alike. */
function encodeRaw(writer: ByteWriter, values: Float64Array): void {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const shuffled = new Uint8Array(bytes.length);
  const count = values.length;
  for (let i = 0; i < count; i++) for (let b = 0; b < 8; b++) shuffled[b * count + i] = bytes[i * 8 + b] as number;
  writer.block(shuffled);
}

function decodeRaw(reader: ByteReader, count: number): Float64Array {
  const shuffled = reader.block();
  const values = new Float64Array(count);
  const bytes = new Uint8Array(values.buffer);
  for (let i = 0; i < count; i++) for (let b = 0; b < 8; b++) bytes[i * 8 + b] = shuffled[b * count + i] ?? 0;
  return values;
}

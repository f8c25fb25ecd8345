import { type ByteReader, type ByteWriter, corrupt, maxZigzag } from "./byte-stream.ts";
import { type GuessName, guesses, guessNames } from "./guess.ts";
import { NumberModel, type NumberReader, type NumberWriter } from "./number-coder.ts";

/** Where a piece is written: numbers by what is likely among them, all else as bytes. */
export type Writers = { readonly bytes: ByteWriter; readonly numbers: NumberWriter };
export type Readers = { readonly bytes: ByteReader; readonly numbers: NumberReader };

/** Most decimals that a column of decimal numbers may have; more, and its numbers are stored as they are. */
const maxDecimals = 6;
const rawColumn = 255;
/** Bits that a number takes that stands for itself. */
const plainBits = 64;

/** A column as it will be written, and about how many bits it takes. */
export type Column = {
  readonly values: Float64Array;
  readonly decimals: number;
  readonly guess: GuessName;
  /** What the guess missed, in whole numbers; 0 where a value stands for itself. */
  readonly misses: Float64Array;
  /** Where they do: NaN, infinities, -0, what is far out. */
  readonly odd: readonly number[];
  readonly bits: number;
};

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
 * Prepares a column for being written exactly. Decimal numbers become whole ones, and of these only what a guess misses
 * is written.
 * @param series  which series each value belongs to: guesses are made within it
 * @param among  guesses of which the best is taken
 */
export function prepareColumn(values: Float64Array, series: Uint32Array, ...among: GuessName[]): Column {
  const decimals = decimalsOf(values);
  return among
    .map((guess) => guessed(values, series, decimals, guess))
    .reduce((best, column) => (column.bits < best.bits ? column : best));
}

function guessed(values: Float64Array, series: Uint32Array, decimals: number, guess: GuessName): Column {
  const count = values.length;
  const misses = new Float64Array(decimals === rawColumn ? 0 : count);
  if (decimals === rawColumn) return { values, decimals, guess, misses, odd: [], bits: count * plainBits };
  const scale = 10 ** decimals;
  const guesser = guesses[guess]();
  const odd: number[] = [];
  let [bits, product] = [0, 1];
  for (let i = 0; i < count; i++) {
    const value = values[i] as number;
    const of = series[i] as number;
    const scaled = Math.round(value * scale);
    const missed = scaled - guesser.next(of);
    const size = Math.abs(missed);
    if (!Number.isFinite(value) || Object.is(value, -0) || !(size < maxZigzag)) {
      odd.push(i);
      continue;
    }
    misses[i] = missed;
    guesser.learn(of, scaled);
    // One logarithm for many numbers.
    product *= 1 + size;
    if (product > 2 ** 900) {
      bits += Math.log2(product);
      product = 1;
    }
  }
  return { values, decimals, guess, misses, odd, bits: bits + Math.log2(product) + odd.length * plainBits };
}

export function writeColumn({ bytes, numbers }: Writers, { values, decimals, guess, misses, odd }: Column): void {
  bytes.varint(decimals);
  if (decimals === rawColumn) {
    bytes.block(shuffle(values));
    return;
  }
  bytes.varint(guessNames.indexOf(guess));
  const model = new NumberModel();
  for (const miss of misses) numbers.write(miss, model);
  bytes.varint(odd.length);
  let before = 0;
  for (const at of odd) {
    bytes.varint(at - before);
    bytes.float64(values[at] as number);
    before = at;
  }
}

/** The inverse: `series` has as many entries as the column. @throws TidegateError PIECE_CORRUPT */
export function readColumn({ bytes, numbers }: Readers, series: Uint32Array): Float64Array {
  const decimals = bytes.varint();
  const count = series.length;
  if (decimals === rawColumn) return unshuffle(bytes.block(), count);
  const guess = guessNames[bytes.varint()];
  if (!guess || decimals > maxDecimals) throw corrupt("a column is written in a way that is not known");
  const odd = new Map<number, number>();
  let at = 0;
  for (let left = bytes.count(9); left > 0; left--) {
    at += bytes.varint();
    odd.set(at, bytes.float64());
  }
  const guesser = guesses[guess]();
  const scale = 10 ** decimals;
  const model = new NumberModel();
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const missed = numbers.read(model);
    const strange = odd.size > 0 ? odd.get(i) : undefined;
    if (strange !== undefined) {
      values[i] = strange;
      continue;
    }
    const of = series[i] as number;
    const scaled = guesser.next(of) + missed;
    guesser.learn(of, scaled);
    values[i] = scaled / scale;
  }
  return values;
}

/** Floating-point numbers byte by byte: all first bytes, all second bytes … since exponents and signs are alike. */
function shuffle(values: Float64Array): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const shuffled = new Uint8Array(bytes.length);
  const count = values.length;
  for (let i = 0; i < count; i++) for (let b = 0; b < 8; b++) shuffled[b * count + i] = bytes[i * 8 + b] as number;
  return shuffled;
}

function unshuffle(shuffled: Uint8Array, count: number): Float64Array {
  const values = new Float64Array(count);
  const bytes = new Uint8Array(values.buffer);
  for (let i = 0; i < count; i++) for (let b = 0; b < 8; b++) bytes[i * 8 + b] = shuffled[b * count + i] ?? 0;
  return values;
}

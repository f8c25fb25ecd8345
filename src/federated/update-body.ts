import { TidegateError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { BitReader, BitWriter, malformed } from "./bit-stream.ts";
import { readIndices, writeIndices } from "./index-code.ts";
import { topK } from "./top-k.ts";
import { keepOf, type UpdateSpace } from "./update-space.ts";

/** The body of an update as the coordinator sees it: integers on the round's scale. */
export type DecodedBody = {
  /** Ascending coordinates of the values. Null: all, in order. */
  readonly indices: Uint32Array | null;
  /** None beyond clip * scale, but for 1/64 that a rounded one may have more. */
  readonly values: Int32Array;
};

/**
 * Writes what was learned as the round asks for: cut to its support, no coordinate beyond its clip, in its codec.
 * What is lost on the way is `vector` minus `restoreBody(decodeBody(…))`.
 *
 * @param vector  float32 [space.length]; not changed
 * @param random  for codecs that round by chance
 * @throws TidegateError SHAPE_MISMATCH; UPDATE_UNSENDABLE when a number is not finite
 */
export function encodeBody(vector: Float32Array, space: UpdateSpace, random: Random): Uint8Array {
  const { header, length, common, codec } = space;
  if (vector.length !== length)
    throw new TidegateError("SHAPE_MISMATCH", { what: "the update", expected: length, actual: vector.length });
  if (!vector.every(Number.isFinite))
    throw new TidegateError("UPDATE_UNSENDABLE", { reason: "a number in it is not finite" });
  const to = new BitWriter();
  const listed = header.support === "listed" ? topK(vector, keepOf(space)) : null;
  if (listed) {
    to.write(listed.length, 32);
    writeIndices(listed, length, to);
  }
  const indices = listed ?? common;
  const values = new Float64Array(indices?.length ?? length);
  for (let i = 0; i < values.length; i++) {
    const value = vector[indices?.[i] ?? i] as number;
    values[i] = Math.max(-header.clip, Math.min(header.clip, value)) * header.scale;
  }
  codec.write(values, header, to, random);
  return to.finish();
}

/**
 * Reads the body of an update. What it allocates follows from the round, not from what the body says.
 * @throws TidegateError UPDATE_INVALID with the reason: cut off, left over, coordinates that the model has not, a value
 * beyond the round's clip …
 */
export function decodeBody(body: Uint8Array, space: UpdateSpace): DecodedBody {
  const { header, length, common, codec } = space;
  const from = new BitReader(body);
  const indices = header.support === "listed" ? readList(from, space) : common;
  const values = new Int32Array(indices?.length ?? length);
  codec.read(values, header, from);
  from.end();
  return { indices, values };
}

function readList(from: BitReader, space: UpdateSpace): Uint32Array {
  const count = from.read(32);
  if (count > keepOf(space)) throw malformed(`it lists ${count} coordinates, ${keepOf(space)} at most`);
  return readIndices(count, space.length, from);
}

/** The vector that a body stands for, float32 [space.length]; zero where it has no coordinate. */
export function restoreBody({ indices, values }: DecodedBody, { header, length }: UpdateSpace): Float32Array {
  const vector = new Float32Array(length);
  for (let i = 0; i < values.length; i++) vector[indices?.[i] ?? i] = (values[i] as number) / header.scale;
  return vector;
}

/** Euclidean norm of an update, in the model's own units. */
export function normOf({ values }: DecodedBody, { header }: Pick<UpdateSpace, "header">): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum) / header.scale;
}

/** Shortens a vector to this Euclidean norm, in place; one that is not longer stays as it is. */
export function shorten(vector: Float32Array, longest: number): void {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (norm > longest) for (let i = 0; i < vector.length; i++) vector[i] = ((vector[i] as number) * longest) / norm;
}

/** Whether something is lost on the way, so that the sender keeps a residual. */
export const isLossy = ({ header, codec }: UpdateSpace): boolean => header.support !== "dense" || codec.isLossy;

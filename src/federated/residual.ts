import { TidegateError } from "../base/errors.ts";

/*
 * Error feedback: what lossy updates have not told yet is carried over to the next.
 *
 *     p = change + e;  send C(p);  when that counts: e = p - C(p);  when it does not: e as it was
 *
 * Which of the two it is, is for `client/round-state.ts`: by the receipt.
 */

/**
 * What is to be told, p: the change and what was held back before.
 * @param held  e; null when nothing is
 * @throws TidegateError SHAPE_MISMATCH
 */
export function carry(change: Float32Array, held: Float32Array | null): Float32Array {
  if (!held) return change;
  if (held.length !== change.length)
    throw new TidegateError("SHAPE_MISMATCH", { what: "the residual", expected: change.length, actual: held.length });
  return change.map((value, i) => value + (held[i] as number));
}

/**
 * What is held back once an update counts.
 * @param carried  p
 * @param told  C(p): `restoreBody` of the update's own bytes
 */
export const leftOver = (carried: Float32Array, told: Float32Array): Float32Array =>
  carried.map((value, i) => value - (told[i] as number));

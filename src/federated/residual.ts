import { TidegateError } from "../base/errors.ts";
import type { UpdateReceipt } from "./update-receipt.ts";

/**
 * Error feedback: what lossy updates have not told yet is carried over to the next.
 *
 *     p = change + e;  send C(p);  accepted or duplicate: e = p - C(p);  stale or rejected: e as it was
 *
 * A plain value: whoever keeps it makes it durable before the update leaves.
 */
export type Residual = {
  /** Names the line of versions that it belongs to: another after a rollback, or on another parent. */
  readonly lineage: string;
  /** e, float32 [parameters]. */
  readonly held: Float32Array;
  /** The update that waits for its receipt, and what e is once it counts. */
  readonly sent: { readonly round: number; readonly left: Float32Array } | null;
};

export const noResidual = (lineage: string, length: number): Residual => ({
  lineage,
  held: new Float32Array(length),
  sent: null,
});

/**
 * What is to be sent: the change and what was held back before.
 *
 * An update whose receipt never came is taken for one that counted. Else what it told would be told twice if it did; so
 * it is lost if it did not.
 *
 * @param lineage  of the base that the change was trained on: of another one nothing is carried over
 * @throws TidegateError SHAPE_MISMATCH
 */
export function carry(residual: Residual, lineage: string, change: Float32Array): Float32Array {
  if (residual.lineage !== lineage) return change.slice();
  const held = residual.sent?.left ?? residual.held;
  if (held.length !== change.length)
    throw new TidegateError("SHAPE_MISMATCH", { what: "the residual", expected: change.length, actual: held.length });
  return change.map((value, i) => value + (held[i] as number));
}

/**
 * The residual while an update waits for its receipt.
 * @param carried  what `carry` gave for it
 * @param told  what the update says: `restoreBody` of its own bytes
 */
export function sent(
  residual: Residual,
  lineage: string,
  { round, carried, told }: { readonly round: number; readonly carried: Float32Array; readonly told: Float32Array },
): Residual {
  const before = residual.sent?.left ?? residual.held;
  const held = residual.lineage === lineage ? before : new Float32Array(carried.length);
  return { lineage, held, sent: { round, left: carried.map((value, i) => value - (told[i] as number)) } };
}

/** The residual after a receipt. One of another round than that of the update that waits changes nothing. */
export function answered(
  residual: Residual,
  { round, status }: { round: number; status: UpdateReceipt["status"] },
): Residual {
  const { lineage, held, sent } = residual;
  if (sent?.round !== round || status === "partial") return residual;
  const counts = status === "accepted" || status === "duplicate";
  return { lineage, held: counts ? sent.left : held, sent: null };
}

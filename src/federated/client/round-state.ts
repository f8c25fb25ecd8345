import type { RoundDocument } from "../round-document.ts";
import type { UpdateReceipt } from "../update-receipt.ts";

/**
 * What a gateway must not forget of a model's rounds. A plain value, durable as one piece: the vectors and bytes that it
 * speaks of lie in files under names that are never used again, written before the state names them.
 *
 * Error feedback, by the receipt (p is the change and what was held back before, C(p) what was sent):
 *
 * | receipt | residual | readings of `gradients` |
 * | --- | --- | --- |
 * | accepted, duplicate | p - C(p) | are used |
 * | stale, rejected | as it was before | are used again |
 * | none ever | p - C(p): told twice would be worse than lost | are used |
 */
export type RoundState = {
  /** The highest epoch of a coordinator that was seen. */
  readonly epoch: number;
  readonly residual: KeptResidual | null;
  /** The update that waits for its receipt. */
  readonly pending: PendingUpdate | null;
  /** The newest round that was answered for good: no second update of it is made. */
  readonly done: string | null;
  /** Of `gradients`, by stream: readings below are used. */
  readonly cursors: Readonly<Record<string, number>>;
};

/** What was not told yet. */
export type KeptResidual = {
  readonly file: string;
  readonly lineage: string;
  /** Of the base that the last change was trained on. */
  readonly version: number;
  readonly length: number;
};

export type PendingUpdate = {
  readonly round: number;
  /** `roundKey` of its round. */
  readonly key: string;
  /** SHA-256 of its bytes, hex: what receipts name. */
  readonly update: string;
  readonly file: string;
  /** Key that its round's parts were sealed for, base64. */
  readonly box: string;
  /** The residual once it counts; null: nothing is held back. */
  readonly left: KeptResidual | null;
  readonly cursors: Readonly<Record<string, number>>;
};

export const noRounds: RoundState = { epoch: 0, residual: null, pending: null, done: null, cursors: {} };

/** What one round is called: the same number on another base is another round. */
export const roundKey = ({ round, base }: Pick<RoundDocument, "round" | "base">): string => `${round}/${base.hash}`;

/** The line of versions that a round's base belongs to: another after a rollback or a push. */
export const lineageOf = ({ base }: Pick<RoundDocument, "base">): string => base.root ?? "";

/** The residual that goes into an update of this round; null: none that belongs there. */
export function residualFor({ residual }: RoundState, round: Pick<RoundDocument, "base">): KeptResidual | null {
  if (!residual || residual.lineage !== lineageOf(round)) return null;
  // Versions grow along a line: an older base is the way back.
  const isBehind = round.base.version < residual.version;
  return isBehind || residual.length !== round.base.length ? null : residual;
}

/** The state from which the update is sent. What belonged to another line is gone. */
export const updateMade = (
  state: RoundState,
  round: Pick<RoundDocument, "base">,
  pending: PendingUpdate,
): RoundState => ({ ...state, residual: residualFor(state, round), pending });

/** The state after a receipt; the same one when it changes nothing: it is of another update, or asks for parts. */
export function updateAnswered(
  state: RoundState,
  { update, status }: Pick<UpdateReceipt, "update" | "status">,
): RoundState {
  const { pending } = state;
  if (pending?.update !== update || status === "partial") return state;
  if (status === "accepted" || status === "duplicate") return updateCounted(state);
  return { ...state, pending: null, done: pending.key };
}

/** The state when the update counts, or is taken for one that does since nobody will say. */
export function updateCounted(state: RoundState): RoundState {
  const { pending } = state;
  if (!pending) return state;
  const cursors = { ...state.cursors, ...pending.cursors };
  return { ...state, residual: pending.left, pending: null, done: pending.key, cursors };
}

/** Files that the state speaks of: all others may go. */
export const filesOf = ({ residual, pending }: RoundState): string[] =>
  [residual?.file, pending?.file, pending?.left?.file].filter((file) => file !== undefined);

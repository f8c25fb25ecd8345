import { TidegateError } from "../base/errors.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { isSelected } from "../federated/selection.ts";
import { decodeMoments } from "../federated/statistics.ts";
import { decodeBody, normOf } from "../federated/update-body.ts";
import type { Update } from "../federated/update-header.ts";
import type { PartHead } from "../federated/update-parts.ts";
import type { RefusalReason } from "../federated/update-receipt.ts";
import { type UpdateSpace, updateSpace } from "../federated/update-space.ts";

/** What an update is told that is not taken; `stale`: it came too late, and nothing is wrong with it. */
export type Refusal = { readonly status: "rejected" | "stale"; readonly reason: RefusalReason };

const rejected = (reason: RefusalReason): Refusal => ({ status: "rejected", reason });

/** Quantizing adds to the length of an update that was shortened to the round's clip. */
const clipTolerance = 2;
/** An update that is so many times as long as those of the others was not trained on data. */
const maxNormRatio = 100;
/** Norms without which nothing is said of the others. */
const leastNorms = 5;
const keptNorms = 101;

/** Bytes of an update beside its body, and what index and value of a coordinate take at most. */
const headRoom = 16_384;
const coordinateBytes = 12;

/** Most bytes that an update of this round can have. */
export const maxBytesOf = ({ base, codec, mode, statistics }: RoundDocument): number =>
  headRoom +
  (mode === "statistics"
    ? 24 * (statistics?.values.reduce((sum, { size }) => sum + size, 0) ?? 0)
    : coordinateBytes * (codec.keep ?? base.length));

/** The space in which the updates of a round are written; null for statistics. */
export const spaceOf = ({ mode, codec, base, round }: RoundDocument): UpdateSpace | null =>
  mode === "statistics" ? null : updateSpace({ header: codec, length: base.length, base: { hash: base.hash, round } });

/**
 * Whether a part may belong to an update that counts, told by its head.
 * @param current  the newest round of the model
 * @param trainedIn  the round that the part names, when it is known
 */
export function refuseHead(head: PartHead, current: RoundDocument, trainedIn: RoundDocument | null): Refusal | null {
  const staleness = current.round - head.round;
  if (staleness < 0 || !trainedIn)
    return staleness > 0 ? { status: "stale", reason: "closed" } : rejected("other-round");
  if (staleness > (current.maxStaleness ?? 0)) return { status: "stale", reason: "closed" };
  if (!isSelected(head.gateway, trainedIn)) return rejected("not-selected");
  if (head.size > maxBytesOf(trainedIn)) return rejected("too-large");
  return null;
}

/** Holds an update against its round. @returns its norm, or why it is refused */
export function checkUpdate(
  { header, body }: Update,
  head: PartHead,
  round: RoundDocument,
  space: UpdateSpace | null,
): { readonly norm: number } | Refusal {
  const isOwn = (["fleet", "gateway", "model", "round"] as const).every((key) => header[key] === head[key]);
  if (!isOwn) return rejected("malformed");
  if (header.base !== round.base.hash) return rejected("other-base");
  const { codec } = round;
  const isWeightRight = codec.weight === "uniform" ? header.weight === 1 : header.weight <= codec.maxWeight;
  if (header.mode !== round.mode || header.codec !== codec.codec || !isWeightRight) return rejected("other-codec");
  try {
    if (!space) return checkMoments(header.length, body, round);
    if (header.length !== round.base.length) return rejected("shape");
    const norm = normOf(decodeBody(body, space), space);
    if (!Number.isFinite(norm)) return rejected("not-finite");
    if (norm > clipTolerance * (round.training?.clip ?? Number.POSITIVE_INFINITY)) return rejected("norm");
    return { norm };
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "UPDATE_INVALID") return rejected("malformed");
    throw thrown;
  }
}

function checkMoments(length: number, body: Uint8Array, { statistics }: RoundDocument) {
  const numbers = statistics?.values.reduce((sum, { size }) => sum + size, 0) ?? 0;
  if (length !== numbers) return rejected("shape");
  decodeMoments(body, numbers, statistics?.maxCount ?? 0);
  return { norm: 0 };
}

/** How long updates of a model are, as far as it has been seen: one that is out of all proportion is refused. */
export class UsualNorm {
  #norms: number[] = [];

  /** Takes a norm of an update that was accepted. */
  add(norm: number): void {
    this.#norms = [...this.#norms, norm].slice(-keptNorms);
  }

  isFarAbove(norm: number): boolean {
    if (this.#norms.length < leastNorms) return false;
    const median = this.#norms.toSorted((a, b) => a - b)[this.#norms.length >> 1] ?? 0;
    return median > 0 && norm > maxNormRatio * median;
  }
}

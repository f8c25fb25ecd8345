import { createHash } from "node:crypto";
import { threefry } from "../base/counter-random.ts";
import { TidegateError } from "../base/errors.ts";
import type { CodecHeader } from "./codec-header.ts";
import type { Codec } from "./codecs/codec.ts";
import { codecs } from "./codecs/codec-table.ts";

/** Largest integer of an update. Below 2^31, with what rounding adds: sums of 2^22 of them are exact in float64. */
const maxInteger = 2 ** 30;
/** Most parameters of a model: 1 GiB as float32. */
const maxLength = 2 ** 28;

/** What coordinator and gateways know of a round's updates before they come. */
export type UpdateSpace = {
  readonly header: CodecHeader;
  readonly codec: Codec;
  /** Parameters of the model, side by side. */
  readonly length: number;
  /** Ascending: the coordinates that every update has. Null: all of them, or (support `listed`) each its own. */
  readonly common: Uint32Array | null;
};

export type SpaceOptions = {
  readonly header: CodecHeader;
  readonly length: number;
  /** Of the base that the round trains on, and the round's number: what the `seeded` support follows from. */
  readonly base?: { readonly hash: string; readonly round: number };
  /** The blob of the `explicit` support: ascending indices, uint32 little endian. */
  readonly chosen?: Uint8Array;
};

/**
 * The space of a round's updates, when this release can work with it.
 * @throws TidegateError CODEC_REFUSED with the field of the header that stands against it
 */
export function updateSpace({ header, length, base, chosen }: SpaceOptions): UpdateSpace {
  const codec = codecs.get(header.codec);
  if (!codec) throw refused("codec", `${header.codec} is not known; there are ${[...codecs.keys()].join(", ")}`);
  if (!codec.bits.includes(header.bits)) throw refused("bits", `${header.codec} has ${codec.bits.join(" or ")}`);
  if (header.modulus !== 0) throw refused("modulus", "secure aggregation is not there yet");
  if (header.noise !== 0) throw refused("noise", "differential privacy is not there yet");
  if (!Number.isInteger(Math.log2(header.scale))) throw refused("scale", "it is no power of two");
  const most = header.clip * header.scale;
  if (!(most >= 1 && most <= maxInteger)) throw refused("clip", `times scale it is ${most}, not 1 to 2^30`);
  if (!(Number.isInteger(length) && length > 0 && length <= maxLength))
    throw refused("keep", `a model has 1 to 2^28 parameters, not ${length}`);
  const keep = header.keep ?? length;
  if (keep > length || (header.support === "dense" && keep < length))
    throw refused("keep", `${keep} of ${length} parameters with ${header.support} support`);
  return { header, codec, length, common: commonSupport({ header, length, ...(base && { base }) }, keep, chosen) };
}

const refused = (field: string, reason: string) =>
  new TidegateError("CODEC_REFUSED", { reason: `${field}: ${reason}` });

/** Coordinates that an update of this space may have. */
export const keepOf = ({ header, length }: UpdateSpace): number => header.keep ?? length;

/** Whether all updates of a round have the same coordinates, as rules that compare them one by one need. */
export const hasCommonSupport = ({ support }: Pick<CodecHeader, "support">): boolean => support !== "listed";

function commonSupport({ header, length, base }: SpaceOptions, keep: number, chosen?: Uint8Array): Uint32Array | null {
  switch (header.support) {
    case "dense":
    case "listed":
      return null;
    case "seeded":
      if (!base) throw refused("support", "no base to draw it from");
      return seededSupport(length, keep, base);
    case "explicit":
      if (!chosen || supportHash(chosen) !== header.indices)
        throw refused("indices", "they are not those of the round");
      return parseSupport(chosen, keep, length);
  }
}

/**
 * Coordinates that follow from base and round, so that nobody chooses them: each as likely as any other.
 * @returns ascending, exactly `count`
 * @see Knuth, "The Art of Computer Programming" 3.4.2, algorithm S
 */
export function seededSupport(
  length: number,
  count: number,
  { hash, round }: { readonly hash: string; readonly round: number },
): Uint32Array {
  const key = createHash("sha256").update(`tidegate support\n${hash}\n${round}`).digest();
  const words = new Uint32Array(2);
  const indices = new Uint32Array(count);
  for (let i = 0, taken = 0; taken < count; i++) {
    threefry(key.readInt32LE(0), key.readInt32LE(4), i, 0, words);
    const uniform = ((words[0] as number) + (words[1] as number) * 2 ** -32) * 2 ** -32;
    if (uniform * (length - i) < count - taken) indices[taken++] = i;
  }
  return indices;
}

/** The blob of coordinates that a coordinator chose: uint32 little endian. */
export function renderSupport(indices: Uint32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * indices.length));
  for (const [i, index] of indices.entries()) view.setUint32(4 * i, index, true);
  return new Uint8Array(view.buffer);
}

/** What the header's `indices` is, of such a blob. */
export const supportHash = (blob: Uint8Array): string => createHash("sha256").update(blob).digest("hex");

function parseSupport(blob: Uint8Array, keep: number, length: number): Uint32Array {
  if (blob.length !== 4 * keep) throw refused("indices", `they are ${blob.length / 4} for the ${keep} to keep`);
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length);
  const indices = Uint32Array.from({ length: keep }, (_, i) => view.getUint32(4 * i, true));
  const isAscending = indices.every((index, i) => index < length && (i === 0 || index > (indices[i - 1] as number)));
  if (!isAscending) throw refused("indices", "they do not ascend within the model");
  return indices;
}

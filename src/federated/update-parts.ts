import { hash } from "node:crypto";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { preAuthEncoding } from "../crypto/envelope.ts";
import { openFrom, type SealedBox, sealTo } from "../crypto/sealing.ts";
import { fingerprint, isSignedBy, type Signer } from "../crypto/signing.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";
import { isId } from "../wire/topics.ts";

// A message is CBOR {v, head, ephemeral, nonce, box, signature}. In the box: SHA-256 of the head [32] | the piece.

const version = 1;
const signedType = "application/vnd.tidegate.update.v1+cbor";
const digestBytes = 32;
/** Bytes of a message beside its piece: head, box, signature, CBOR, with room to spare. */
export const partOverhead = 640;
/** Parts of one update. */
export const maxParts = 4_096;
/** Bytes of one update. */
export const maxUpdateBytes = 256 * 2 ** 20;

/** What a part says of itself in the clear: signed, and bound to what is sealed. */
export type PartHead = {
  readonly fleet: string;
  readonly gateway: string;
  readonly model: string;
  readonly round: number;
  /** SHA-256 of the whole update, hex: parts of another attempt never mix, and the receipt names it. */
  readonly update: string;
  /** Bytes of the whole update. */
  readonly size: number;
  /** Number of this part, from 0. */
  readonly n: number;
  /** Parts of the update. All but the last have the same number of bytes. */
  readonly of: number;
  /** SHA-256 of the piece, hex: the same part twice is the same part, however it was sealed. */
  readonly hash: string;
  /** Fingerprint of the public key it is sealed for. */
  readonly to: string;
  /** Raw Ed25519 public key of the gateway [32]. */
  readonly signer: Uint8Array;
};

/** A part that was opened: signed by `head.signer`, and sealed by it for this reader. */
export type UpdatePart = { readonly head: PartHead; readonly piece: Uint8Array };

const pieceBytes = (maxPayload: number): number => Math.max(1_024, maxPayload - partOverhead);

/** An update that is ready to go out, part by part. */
export type CutUpdate = {
  /** SHA-256 of the whole: what its receipt names. */
  readonly hash: string;
  /** Parts that it has. */
  readonly of: number;
  /** Seals and signs part `n` anew: it may be asked for as often as it has to be sent. */
  part(n: number): Uint8Array;
};

/**
 * Cuts an update into parts.
 *
 * @param update  `encodeUpdate`
 * @param facts  `maxPayload`: bytes of one message on the broker; `box`: the round's X25519 public key
 */
export function cutUpdate(
  update: Uint8Array,
  facts: Pick<PartHead, "fleet" | "gateway" | "model" | "round"> & {
    readonly maxPayload: number;
    readonly box: Uint8Array;
    readonly signer: Signer;
  },
): CutUpdate {
  const { maxPayload, box, signer, ...about } = facts;
  const step = pieceBytes(maxPayload);
  const of = Math.max(1, Math.ceil(update.length / step));
  const whole = { ...about, update: hash("sha256", update, "hex"), size: update.length, of };
  const part = (n: number): Uint8Array => {
    const piece = update.subarray(n * step, (n + 1) * step);
    const to = fingerprint(box);
    const head: PartHead = { ...whole, n, hash: hash("sha256", piece, "hex"), to, signer: signer.publicKey };
    const headBytes = encodeCbor(head);
    const digest = hash("sha256", headBytes, "buffer");
    // The head's digest is inside too: else another gateway could sign this box as its own.
    const sealed = sealTo(Buffer.concat([digest, piece]), box);
    return encodeCbor({ v: version, head: headBytes, ...sealed, signature: signer.sign(signedBytes(digest, sealed)) });
  };
  return { hash: whole.update, of, part };
}

/** What the signature covers. All but the last have a fixed length: it can be read in one way only. */
const signedBytes = (digest: Uint8Array, { ephemeral, nonce, box }: SealedBox): Uint8Array =>
  preAuthEncoding(signedType, Buffer.concat([digest, ephemeral, nonce, box]));

export type PartReader = {
  /** X25519 secret keys that parts may be sealed for: the current one and those before it. */
  readonly secretKeys: readonly { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }[];
  /** Throws when this gateway may not sign with `head.signer`. The signature itself is checked here. */
  admit(head: PartHead): void;
};

/**
 * Opens a part: who signed it is checked before anything is opened.
 * @throws TidegateError UPDATE_INVALID (malformed, another's box), UPDATE_UNTRUSTED (signature), what `admit` throws
 */
export function decodePart(payload: Uint8Array, reader: PartReader): UpdatePart {
  const { headBytes, sealed, signature } = parseMessage(payload);
  const head = decodeHead(headBytes);
  const digest = hash("sha256", headBytes, "buffer");
  if (!isSignedBy(head.signer, signedBytes(digest, sealed), signature)) {
    throw new TidegateError("UPDATE_UNTRUSTED", { gateway: head.gateway, reason: "its signature is wrong" });
  }
  reader.admit(head);
  const keys = reader.secretKeys.find(({ publicKey }) => fingerprint(publicKey) === head.to);
  if (!keys) throw invalid("it is sealed for a key that is not here");
  const plain = openFrom(sealed, keys.secretKey);
  if (!plain || plain.length < digestBytes) throw invalid("its box does not open");
  if (Buffer.compare(plain.subarray(0, digestBytes), digest) !== 0) throw invalid("its box belongs to another head");
  const piece = plain.subarray(digestBytes);
  if (hash("sha256", piece, "hex") !== head.hash) throw invalid("its piece is not the one it names");
  return { head, piece };
}

const invalid = (reason: string, cause?: unknown) => new TidegateError("UPDATE_INVALID", { reason }, { cause });

function parseMap(bytes: Uint8Array, maxItems: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = decodeCbor(bytes, { maxDepth: 1, maxItems });
  } catch (cause) {
    throw invalid(`it is not plain CBOR: ${reasonOf(cause)}`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid("it is not a map");
  return value as Record<string, unknown>;
}

function parseMessage(payload: Uint8Array) {
  const { v, head, ephemeral, nonce, box, signature } = parseMap(payload, 32);
  if (v !== version) throw invalid(`its version is ${String(v)}, not ${version}`);
  const bytesOf = (part: unknown, what: string): Uint8Array => {
    if (part instanceof Uint8Array) return part;
    throw invalid(`it has no ${what}`);
  };
  const sealed = {
    ephemeral: bytesOf(ephemeral, "ephemeral"),
    nonce: bytesOf(nonce, "nonce"),
    box: bytesOf(box, "box"),
  };
  if (sealed.ephemeral.length !== 32 || sealed.nonce.length !== 24) throw invalid("its ephemeral or nonce is cut off");
  return { headBytes: bytesOf(head, "head"), sealed, signature: bytesOf(signature, "signature") };
}

const isText = (value: unknown): value is string => typeof value === "string" && isId(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isHash = (value: unknown): value is string => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

const checks: Record<keyof PartHead, (value: unknown) => boolean> = {
  fleet: isText,
  gateway: isText,
  model: isText,
  round: isCount,
  update: isHash,
  size: (value) => isCount(value) && value > 0 && value <= maxUpdateBytes,
  n: isCount,
  of: (value) => isCount(value) && value > 0 && value <= maxParts,
  hash: isHash,
  to: (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value),
  signer: (value) => value instanceof Uint8Array && value.length === 32,
};

function decodeHead(bytes: Uint8Array): PartHead {
  const value = parseMap(bytes, 32);
  for (const [key, isRight] of Object.entries(checks))
    if (!isRight(value[key])) throw invalid(`${key} is missing or wrong in its head`);
  const head = value as PartHead;
  if (head.n >= head.of) throw invalid("its number is beyond the parts it names");
  return { ...head, signer: new Uint8Array(head.signer) };
}

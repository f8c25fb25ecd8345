import { hash, randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { constants, zstdCompress, zstdDecompress } from "node:zlib";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { preAuthEncoding } from "../crypto/envelope.ts";
import { openFrom, sealTo } from "../crypto/sealing.ts";
import { fingerprint, isSignedBy, type Signer } from "../crypto/signing.ts";
import { type BatchHead, decodeHead, encodeHead } from "./batch-head.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";

// docs/batch-format.md describes these bytes. Outside, CBOR: {v, head, ephemeral, nonce, box, signature}.
// In the box: SHA-256 of the head [32] | token [32] | zstd of the lines.

const version = 1;
const signedType = "application/vnd.tidegate.batch.v1+cbor";
export const tokenBytes = 32;
const digestBytes = 32;
/** Bytes of a batch beside head and compressed lines: box, digest, token, signature, CBOR, with room to spare. */
export const batchOverhead = 300;
const defaultMaxBody = 16 * 2 ** 20;
/** Memory that a compressed body may ask for in order to be opened: 2^23 bytes. */
const maxWindowLog = 23;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** A secret that goes into a batch's box; its receipt proves knowledge of it. */
export const newToken = (): Uint8Array => new Uint8Array(randomBytes(tokenBytes));

/** A batch that was opened: signed by `head.signer`, and sealed for this reader by that signer. */
export type Batch = { readonly head: BatchHead; readonly lines: readonly string[]; readonly token: Uint8Array };

/** What a batch is about; the rest of its head follows from the lines and the keys. */
export type BatchFacts = Omit<BatchHead, "n" | "last" | "count" | "steps" | "size" | "to" | "signer"> & {
  /** The number of each line, ascending. */
  readonly numbers: readonly number[];
};

/**
 * Compresses, seals and signs a batch.
 *
 * @param lines  one JSON document each, UTF-8, without line breaks
 * @param readerKey  X25519 public key of the sink
 * @param token  `newToken()`; the same when the same lines are sent again
 */
export async function encodeBatch(
  { numbers, ...head }: BatchFacts,
  lines: readonly Uint8Array[],
  readerKey: Uint8Array,
  signer: Signer,
  token: Uint8Array,
): Promise<Uint8Array> {
  const body = joinLines(lines);
  const headBytes = encodeHead({
    ...head,
    ...spanOf(numbers),
    count: lines.length,
    size: body.length,
    to: fingerprint(readerKey),
    signer: signer.publicKey,
  });
  const digest = hash("sha256", headBytes, "buffer");
  const compressed = await compress(body, { params: { [constants.ZSTD_c_windowLog]: maxWindowLog - 1 } });
  // The head's digest is inside too: else another gateway could sign this box as its own.
  const sealed = sealTo(Buffer.concat([digest, token, compressed]), readerKey);
  const signature = signer.sign(signedBytes(digest, sealed));
  return encodeCbor({ v: version, head: headBytes, ...sealed, signature });
}

function spanOf(numbers: readonly number[]): Pick<BatchHead, "n" | "last" | "steps"> {
  const n = numbers[0] ?? 0;
  const last = numbers.at(-1) ?? 0;
  if (last - n === numbers.length - 1) return { n, last };
  return { n, last, steps: numbers.slice(1).map((number, i) => number - (numbers[i] ?? 0)) };
}

type SealedParts = { ephemeral: Uint8Array; nonce: Uint8Array; box: Uint8Array };

/** What the signature covers. All parts but the last have a fixed length: it can be read in one way only. */
const signedBytes = (digest: Uint8Array, { ephemeral, nonce, box }: SealedParts): Uint8Array =>
  preAuthEncoding(signedType, Buffer.concat([digest, ephemeral, nonce, box]));

function joinLines(lines: readonly Uint8Array[]): Uint8Array {
  const body = new Uint8Array(lines.reduce((sum, line) => sum + line.length + 1, 0));
  let at = 0;
  for (const line of lines) {
    body.set(line, at);
    at += line.length;
    body[at++] = 0x0a;
  }
  return body;
}

export type BatchReader = {
  /** X25519 secret keys that batches may be sealed for: the current one and those before it. */
  readonly secretKeys: readonly { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }[];
  /** Whether this gateway may sign with `head.signer`. The signature itself is checked here. */
  isTrusted(head: BatchHead): boolean;
  /** Most bytes of lines that are taken out of one batch. */
  readonly maxBodyBytes?: number;
};

/**
 * Opens a batch: who signed it is checked before anything is opened, its size before anything is unpacked.
 *
 * @throws TidegateError BATCH_INVALID (malformed), BATCH_UNTRUSTED (signature or signer), BATCH_SEALED (for another key)
 */
export async function decodeBatch(payload: Uint8Array, reader: BatchReader): Promise<Batch> {
  const { headBytes, sealed, signature } = parseParts(payload);
  const head = decodeHead(headBytes);
  const digest = hash("sha256", headBytes, "buffer");
  if (!reader.isTrusted(head)) {
    throw new TidegateError("BATCH_UNTRUSTED", {
      gateway: head.gateway,
      reason: "its key is not trusted",
      key: fingerprint(head.signer),
    });
  }
  if (!isSignedBy(head.signer, signedBytes(digest, sealed), signature)) {
    throw new TidegateError("BATCH_UNTRUSTED", { gateway: head.gateway, reason: "its signature is wrong" });
  }
  const keys = reader.secretKeys.find(({ publicKey }) => fingerprint(publicKey) === head.to);
  if (!keys) throw new TidegateError("BATCH_SEALED", { to: head.to, gateway: head.gateway });
  const plain = openFrom(sealed, keys.secretKey);
  if (!plain || plain.length < digestBytes + tokenBytes) throw invalid("its box does not open");
  if (Buffer.compare(plain.subarray(0, digestBytes), digest) !== 0) throw invalid("its box belongs to another head");
  const token = plain.slice(digestBytes, digestBytes + tokenBytes);
  return { head, lines: await unpack(plain.subarray(digestBytes + tokenBytes), head, reader), token };
}

const invalid = (reason: string, cause?: unknown) => new TidegateError("BATCH_INVALID", { reason }, { cause });

function parseParts(payload: Uint8Array) {
  let value: unknown;
  try {
    value = decodeCbor(payload, { maxDepth: 1, maxItems: 32 });
  } catch (cause) {
    throw invalid(`it is not plain CBOR: ${reasonOf(cause)}`, cause);
  }
  if (typeof value !== "object" || value === null) throw invalid("it is not a map");
  const { v, head, ephemeral, nonce, box, signature } = value as Record<string, unknown>;
  if (v !== version) throw invalid(`its version is ${String(v)}, not ${version}`);
  const bytesOf = (part: unknown, name: string): Uint8Array => {
    if (part instanceof Uint8Array) return part;
    throw invalid(`it has no ${name}`);
  };
  const sealed = {
    ephemeral: bytesOf(ephemeral, "ephemeral"),
    nonce: bytesOf(nonce, "nonce"),
    box: bytesOf(box, "box"),
  };
  if (sealed.ephemeral.length !== 32 || sealed.nonce.length !== 24) throw invalid("its ephemeral or nonce is cut off");
  return { headBytes: bytesOf(head, "head"), sealed, signature: bytesOf(signature, "signature") };
}

async function unpack(compressed: Uint8Array, head: BatchHead, reader: BatchReader): Promise<string[]> {
  const limit = reader.maxBodyBytes ?? defaultMaxBody;
  if (head.size > limit) throw invalid(`it unpacks to ${head.size} bytes`);
  let body: Uint8Array;
  try {
    // One byte more than announced would be a bomb, or a lie: the unpacking stops there.
    body = await decompress(compressed, {
      maxOutputLength: Math.max(1, head.size),
      params: { [constants.ZSTD_d_windowLogMax]: maxWindowLog },
    });
  } catch (cause) {
    throw invalid(`its body does not unpack: ${reasonOf(cause)}`, cause);
  }
  if (body.length !== head.size) throw invalid("its body has another size than its head says");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body);
  } catch (cause) {
    throw invalid("its body is not UTF-8", cause);
  }
  const lines = text.split("\n");
  if (lines.pop() !== "" || lines.length !== head.count) throw invalid(`it has not the ${head.count} lines it names`);
  return lines;
}

import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { reasonOf, TidegateError } from "../base/errors.ts";

/** The one kind of difference that needs to know nothing of the file: weights that stayed become runs of zeros. */
export const planesKind = "planes";

/** Floats are 4 bytes: bytes of one place lie together, so that equal signs and exponents do too. */
const stride = 4;

/**
 * What turns `from` into `to`: both xored, byte by byte, sorted by place within a float, and compressed.
 * Most is saved where few weights have changed, or all by little.
 */
export function encodeDifference(from: Uint8Array, to: Uint8Array): Uint8Array {
  return new Uint8Array(zstdCompressSync(planes(xored(from, to), true)));
}

/**
 * The file that a difference makes of `from`. What comes out is to be checked against the hash that was signed.
 * @param size  of the new file, bytes
 * @throws TidegateError BLOB_DAMAGED
 */
export function decodeDifference(from: Uint8Array, difference: Uint8Array, size: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = zstdDecompressSync(difference, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw new TidegateError("BLOB_DAMAGED", { what: "a difference", reason: reasonOf(cause) }, { cause });
  }
  if (bytes.length !== size) {
    throw new TidegateError("BLOB_DAMAGED", { what: "a difference", reason: `it gives ${bytes.length} bytes` });
  }
  return xored(from, planes(bytes, false));
}

/** As long as the second: where the first has ended, the second stays as it is. */
function xored(first: Uint8Array, second: Uint8Array): Uint8Array {
  const result = new Uint8Array(second);
  const both = Math.min(first.length, second.length);
  for (let at = 0; at < both; at++) result[at] = (result[at] ?? 0) ^ (first[at] ?? 0);
  return result;
}

function planes(bytes: Uint8Array, isForth: boolean): Uint8Array {
  const result = new Uint8Array(bytes.length);
  let to = 0;
  for (let plane = 0; plane < stride; plane++)
    for (let from = plane; from < bytes.length; from += stride, to++) {
      if (isForth) result[to] = bytes[from] ?? 0;
      else result[from] = bytes[to] ?? 0;
    }
  return result;
}

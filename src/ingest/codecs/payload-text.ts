import { Buffer, isAscii, isUtf8 } from "node:buffer";
import { TidegateError } from "../../base/errors.ts";

const bufferOf = (payload: Uint8Array): Buffer =>
  Buffer.isBuffer(payload) ? payload : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);

/**
 * The payload as text, without the byte order mark that some systems put first.
 * @throws TidegateError PAYLOAD_ENCODING when it is not UTF-8
 */
export function textOf(payload: Uint8Array): string {
  // Plain ASCII is the common case, and cheaper to check and to copy.
  if (isAscii(payload)) return bufferOf(payload).toString("latin1");
  assertUtf8(payload);
  const text = bufferOf(payload).toString("utf8");
  return text.startsWith("\ufeff") ? text.slice(1) : text;
}

/** @throws TidegateError PAYLOAD_ENCODING when the payload is not UTF-8 */
export function assertUtf8(payload: Uint8Array): void {
  if (!isUtf8(payload)) throw new TidegateError("PAYLOAD_ENCODING");
}

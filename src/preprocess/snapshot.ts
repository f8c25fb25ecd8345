import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { Slots } from "./slots.ts";

/** Sources are numbered from 0: a larger number comes of damage, and would take memory. */
const maxSource = 2 ** 24;
const magic = 0x7467_7070;
const version = 3;
/** Magic and version, then the fingerprint, then doubles: count of sources, the stream's numbers, each source's. */
const fingerprintAt = 8;
const bodyAt = 40;

/** A digest of everything that gives the numbers in a snapshot their meaning. */
export function fingerprintOf(...facts: unknown[]): Uint8Array {
  // Infinity is not JSON: as null, a gap without limit would pass for one that is not given.
  const text = JSON.stringify(facts, (_key, value) => (typeof value === "number" ? String(value) : (value ?? null)));
  return createHash("sha256").update(text).digest();
}

/** The numbers of a stream and of all its sources as bytes. */
export function encodeSnapshot(fingerprint: Uint8Array, stream: Float64Array, slots: Slots): Uint8Array {
  const stride = 1 + slots.width;
  const body = new Float64Array(1 + stream.length + slots.count * stride);
  body[0] = slots.count;
  body.set(stream, 1);
  let at = 1 + stream.length;
  for (let slot = 0; slot < slots.end; slot++) {
    const source = slots.sourceAt(slot);
    if (source < 0) continue;
    body[at] = source;
    slots.save(slot, body, at + 1);
    at += stride;
  }
  const bytes = new Uint8Array(bodyAt + body.byteLength);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, magic);
  header.setUint32(4, version);
  bytes.set(fingerprint, fingerprintAt);
  bytes.set(new Uint8Array(body.buffer), bodyAt);
  return bytes;
}

/**
 * Reads what `encodeSnapshot` wrote: sources and their state go into `slots`, which is emptied before.
 *
 * @returns the stream's own numbers, `streamLength` of them
 * @throws TidegateError SNAPSHOT_UNUSABLE when it is cut off, of another version or of another configuration; `slots` may be half filled then
 */
export function decodeSnapshot(
  bytes: Uint8Array,
  fingerprint: Uint8Array,
  streamLength: number,
  slots: Slots,
): Float64Array {
  const fault = (reason: string) => new TidegateError("SNAPSHOT_UNUSABLE", { reason });
  if (bytes.length < bodyAt) throw fault("it is cut off");
  const header = new DataView(bytes.buffer, bytes.byteOffset, bodyAt);
  if (header.getUint32(0) !== magic) throw fault("it is not a snapshot");
  if (header.getUint32(4) !== version) throw fault("it is of another version");
  if (Buffer.compare(bytes.subarray(fingerprintAt, bodyAt), fingerprint) !== 0)
    throw fault("it belongs to another configuration of the stream");
  if ((bytes.length - bodyAt) % 8 !== 0) throw fault("it is cut off");
  // Doubles must be aligned, and these bytes may lie anywhere in a buffer.
  const body = new Float64Array(new Uint8Array(bytes.subarray(bodyAt)).buffer);
  const stride = 1 + slots.width;
  const count = body[0] ?? Number.NaN;
  if (body.length !== 1 + streamLength + count * stride) throw fault("it is cut off");
  slots.reset();
  for (let i = 0, at = 1 + streamLength; i < count; i++, at += stride) {
    const source = body[at] as number;
    const isNew = Number.isInteger(source) && source >= 0 && source < maxSource && slots.find(source) < 0;
    const slot = isNew ? slots.add(source) : -1;
    if (slot < 0) throw fault(`source ${source} does not fit`);
    slots.load(slot, body, at + 1);
  }
  return body.slice(1, 1 + streamLength);
}

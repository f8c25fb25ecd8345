import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { reasonOf } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { ByteReader, ByteWriter, corrupt } from "./byte-stream.ts";
import { decodeColumn, encodeColumn } from "./column-codec.ts";

const format = 1;
/** A piece never unpacks to more than this: readings and payloads of one commit are bounded far below. */
const maxPlainBytes = 512 * 2 ** 20;

/**
 * Packs consecutive frames of one stream, which become one piece: runs (boot and wall offset), then column by column,
 * then zstd. Stream and field names are not part of it.
 */
export function encodeFrames(frames: readonly Frame[], level: number): Uint8Array {
  const first = frames[0];
  if (!first) throw new RangeError("no frames");
  const writer = new ByteWriter();
  writer.varint(format);
  writer.varint(first.first);
  const runs = joinRuns(frames);
  writer.varint(runs.length);
  for (const { count, boot, wallOffset } of runs) {
    writer.varint(count);
    writer.text(boot);
    writer.float64(wallOffset);
  }
  const count = frames.reduce((sum, frame) => sum + frame.count, 0);
  const source = join(frames, count, ({ source }) => source, new Uint32Array(count));
  let before = 0;
  for (const index of source) {
    writer.zigzag(index - before);
    before = index;
  }
  const ts = join(frames, count, (frame) => frame.ts, new Float64Array(count));
  encodeColumn(writer, ts, source, 2);
  const arrived = join(frames, count, (frame) => frame.arrived, new Float64Array(count));
  encodeArrived(writer, arrived, ts, source);
  writer.block(join(frames, count, ({ flags }) => flags, new Uint8Array(count)));
  writer.varint(first.values.length);
  for (let field = 0; field < first.values.length; field++) {
    const column = join(frames, count, ({ values }) => values[field] ?? new Float64Array(0), new Float64Array(count));
    encodeColumn(writer, column, source, 1);
  }
  const payloads = first.payloads ? frames.flatMap((frame) => frame.payloads ?? []) : [];
  writer.varint(payloads.length);
  for (const payload of payloads) writer.block(payload);
  return zstdCompressSync(writer.finish(), { params: { [constants.ZSTD_c_compressionLevel]: level } });
}

/**
 * The inverse: one frame for each run.
 * @throws TidegateError PIECE_CORRUPT
 */
export function decodeFrames(packed: Uint8Array, stream: string, fields: readonly string[]): Frame[] {
  let plain: Uint8Array;
  try {
    plain = zstdDecompressSync(packed, { maxOutputLength: maxPlainBytes });
  } catch (thrown) {
    throw corrupt(reasonOf(thrown));
  }
  const reader = new ByteReader(plain);
  if (reader.varint() !== format) throw corrupt("it has a format of a later version");
  let first = reader.varint();
  const runs = Array.from({ length: reader.count(10) }, () => {
    return { count: reader.count(), boot: reader.text(), wallOffset: reader.float64() };
  });
  const count = runs.reduce((sum, run) => sum + run.count, 0);
  const source = new Uint32Array(count);
  let before = 0;
  for (let i = 0; i < count; i++) {
    before += reader.zigzag();
    source[i] = before;
  }
  const ts = decodeColumn(reader, source, 2);
  const arrived = decodeArrived(reader, ts, source);
  const flags = reader.block();
  const columns = Array.from({ length: reader.count() }, () => decodeColumn(reader, source, 1));
  const payloads = Array.from({ length: reader.count() }, () => reader.block());
  // A field that the stream had not when the piece was written is missing in it; one that it has no more is left out.
  const values = fields.map((_, i) => columns[i] ?? new Float64Array(count).fill(Number.NaN));
  let at = 0;
  return runs.map((run) => {
    const end = at + run.count;
    const frame: Frame = {
      stream,
      fields,
      first,
      ...run,
      source: source.slice(at, end),
      ts: ts.slice(at, end),
      arrived: arrived.slice(at, end),
      flags: flags.slice(at, end),
      values: values.map((column) => column.slice(at, end)),
      ...(payloads.length > 0 ? { payloads: payloads.slice(at, end) } : {}),
    };
    first += run.count;
    at = end;
    return frame;
  });
}

/**
 * Times of arrival follow the sensors' own times where each reading is sent at once, and one another where many come
 * in one message: written whichever way is shorter.
 */
function encodeArrived(writer: ByteWriter, arrived: Float64Array, ts: Float64Array, source: Uint32Array): void {
  const delay = arrived.map((at, i) => at - (ts[i] as number));
  const isExact = arrived.every((at, i) => (delay[i] as number) + (ts[i] as number) === at);
  const byArrival = new ByteWriter();
  encodeColumn(byArrival, arrived, new Uint32Array(arrived.length), 1);
  const byDelay = new ByteWriter();
  if (isExact) encodeColumn(byDelay, delay, source, 1);
  const isDelay = isExact && byDelay.length < byArrival.length;
  writer.varint(isDelay ? 1 : 0);
  writer.append(isDelay ? byDelay : byArrival);
}

function decodeArrived(reader: ByteReader, ts: Float64Array, source: Uint32Array): Float64Array {
  if (reader.varint() === 0) return decodeColumn(reader, new Uint32Array(source.length), 1);
  return decodeColumn(reader, source, 1).map((delay, i) => delay + (ts[i] as number));
}

function joinRuns(frames: readonly Frame[]): { count: number; boot: string; wallOffset: number }[] {
  const runs: { count: number; boot: string; wallOffset: number }[] = [];
  for (const { count, boot, wallOffset } of frames) {
    const last = runs.at(-1);
    if (last && last.boot === boot && last.wallOffset === wallOffset) last.count += count;
    else runs.push({ count, boot, wallOffset });
  }
  return runs;
}

function join<T extends Float64Array | Uint32Array | Uint8Array>(
  frames: readonly Frame[],
  count: number,
  pick: (frame: Frame) => T,
  into: T,
): T {
  if (into.length !== count) throw new RangeError("lengths differ");
  let at = 0;
  for (const frame of frames) {
    into.set(pick(frame), at);
    at += frame.count;
  }
  return into;
}

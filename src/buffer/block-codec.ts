import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { reasonOf } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { ByteReader, ByteWriter, corrupt } from "./byte-stream.ts";
import { type Column, prepareColumn, type Readers, readColumn, type Writers, writeColumn } from "./column-codec.ts";
import { NumberModel, NumberReader, NumberWriter } from "./number-coder.ts";

/** Format 1 was packed by zstd as a whole. */
const format = 2;
/** Bytes that are fewer do not get shorter. */
const leastPacked = 128;
/** A piece never unpacks to more than this: readings and payloads of one commit are bounded far below. */
const maxPlainBytes = 512 * 2 ** 20;
const maxReadings = 2 ** 24;

/**
 * Packs consecutive frames of one stream, which become one piece: runs (boot and wall offset), then column by column.
 * Numbers are coded by what is likely among them, all else is packed by zstd. Stream and field names are not part of it.
 */
export function encodeFrames(frames: readonly Frame[], level: number): Uint8Array {
  const first = frames[0];
  if (!first) throw new RangeError("no frames");
  const to: Writers = { bytes: new ByteWriter(), numbers: new NumberWriter() };
  to.bytes.varint(first.first);
  writeRuns(to, joinRuns(frames));
  const count = frames.reduce((sum, frame) => sum + frame.count, 0);
  const source = join(frames, count, ({ source }) => source, new Uint32Array(count));
  writeSources(to, source);
  const ts = join(frames, count, (frame) => frame.ts, new Float64Array(count));
  writeColumn(to, prepareColumn(ts, source, "step", "line"));
  writeArrived(
    to,
    join(frames, count, (frame) => frame.arrived, new Float64Array(count)),
    ts,
    source,
  );
  const flags = join(frames, count, ({ flags }) => flags, new Uint8Array(count));
  writeColumn(to, prepareColumn(Float64Array.from(flags), source, "last"));
  to.bytes.varint(first.values.length);
  for (let field = 0; field < first.values.length; field++) {
    const column = join(frames, count, ({ values }) => values[field] ?? new Float64Array(0), new Float64Array(count));
    writeColumn(to, prepareColumn(column, source, "last"));
  }
  const payloads = first.payloads ? frames.flatMap((frame) => frame.payloads ?? []) : [];
  to.bytes.varint(payloads.length);
  for (const payload of payloads) to.bytes.block(payload);
  return pack(to.bytes.finish(), to.numbers.finish(), level);
}

/**
 * The inverse: one frame for each run.
 * @throws TidegateError PIECE_CORRUPT
 */
export function decodeFrames(packed: Uint8Array, stream: string, fields: readonly string[]): Frame[] {
  const from = unpack(packed);
  let first = from.bytes.varint();
  const runs = readRuns(from);
  const count = runs.reduce((sum, run) => sum + run.count, 0);
  if (count > maxReadings) throw corrupt("it has too many readings");
  const source = readSources(from, count);
  const ts = readColumn(from, source);
  const arrived = readArrived(from, ts, source);
  const flags = Uint8Array.from(readColumn(from, source));
  const columns = Array.from({ length: from.bytes.count() }, () => readColumn(from, source));
  const payloads = Array.from({ length: from.bytes.count() }, () => from.bytes.block());
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

/** Format; bytes, packed when that is shorter, behind twice their length (and one when packed); numbers. */
function pack(bytes: Uint8Array, numbers: Uint8Array, level: number): Uint8Array {
  const params = { [constants.ZSTD_c_compressionLevel]: level };
  const short = bytes.length < leastPacked ? bytes : zstdCompressSync(bytes, { params });
  const isPacked = short.length < bytes.length;
  const chosen = isPacked ? short : bytes;
  const head = new ByteWriter();
  head.varint(format);
  head.varint(chosen.length * 2 + (isPacked ? 1 : 0));
  return Buffer.concat([head.finish(), chosen, numbers]);
}

function unpack(packed: Uint8Array): Readers {
  const reader = new ByteReader(packed);
  if (reader.varint() !== format) throw corrupt("it has a format of another version");
  const length = reader.varint();
  const chosen = reader.take(Math.floor(length / 2));
  const numbers = new NumberReader(reader.rest());
  if (length % 2 === 0) return { bytes: new ByteReader(chosen), numbers };
  try {
    return { bytes: new ByteReader(zstdDecompressSync(chosen, { maxOutputLength: maxPlainBytes })), numbers };
  } catch (thrown) {
    throw corrupt(reasonOf(thrown));
  }
}

/** The source of a reading is guessed to be the one that followed the source before it the last time. */
function writeSources({ numbers }: Writers, source: Uint32Array): void {
  const model = new NumberModel();
  const after: number[] = [];
  let before = 0;
  for (const index of source) {
    numbers.write(index - (after[before] ?? before), model);
    after[before] = index;
    before = index;
  }
}

function readSources({ numbers }: Readers, count: number): Uint32Array {
  const model = new NumberModel();
  const source = new Uint32Array(count);
  const after: number[] = [];
  let before = 0;
  for (let i = 0; i < count; i++) {
    const index = (after[before] ?? before) + numbers.read(model);
    if (index < 0 || index >= 2 ** 32) throw corrupt("it is of no source");
    source[i] = index;
    after[before] = index;
    before = index;
  }
  return source;
}

/**
 * Times of arrival follow one another where many readings come in one message, the beat of their source where each is
 * sent in its time, or the sensor's own time where its clock wavers: written in whichever way is the shortest.
 */
function writeArrived(to: Writers, arrived: Float64Array, ts: Float64Array, source: Uint32Array): void {
  const delay = arrived.map((at, i) => at - (ts[i] as number));
  const isExact = arrived.every((at, i) => (delay[i] as number) + (ts[i] as number) === at);
  const ways = [
    prepareColumn(arrived, new Uint32Array(arrived.length), "last"),
    prepareColumn(arrived, source, "line"),
    ...(isExact ? [prepareColumn(delay, source, "last", "line")] : []),
  ];
  const least = Math.min(...ways.map(({ bits }) => bits));
  const way = ways.findIndex(({ bits }) => bits === least);
  to.bytes.varint(way);
  writeColumn(to, ways[way] as Column);
}

function readArrived(from: Readers, ts: Float64Array, source: Uint32Array): Float64Array {
  const way = from.bytes.varint();
  const column = readColumn(from, way === 0 ? new Uint32Array(source.length) : source);
  return way === 2 ? column.map((delay, i) => delay + (ts[i] as number)) : column;
}

type Run = { count: number; boot: string; wallOffset: number };

/** A wall clock that is steered moves by a millisecond now and then: many runs of one boot. */
function writeRuns(to: Writers, runs: readonly Run[]): void {
  to.bytes.varint(runs.length);
  const model = new NumberModel();
  for (const { count } of runs) to.numbers.write(count, model);
  let before: string | undefined;
  for (const { boot } of runs) {
    to.bytes.text(boot === before ? "" : boot);
    before = boot;
  }
  writeColumn(
    to,
    prepareColumn(
      Float64Array.from(runs, (run) => run.wallOffset),
      new Uint32Array(runs.length),
      "last",
    ),
  );
}

function readRuns(from: Readers): Run[] {
  const model = new NumberModel();
  const counts = Array.from({ length: from.bytes.count(1) }, () => from.numbers.read(model));
  if (counts.some((count) => count < 1)) throw corrupt("a run is empty");
  let before = "";
  const boots = counts.map(() => {
    before = from.bytes.text() || before;
    return before;
  });
  const offsets = readColumn(from, new Uint32Array(counts.length));
  return counts.map((count, i) => ({ count, boot: boots[i] ?? "", wallOffset: offsets[i] ?? 0 }));
}

function joinRuns(frames: readonly Frame[]): Run[] {
  const runs: Run[] = [];
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

import { Encoder } from "cbor-x";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { codecs, createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { ReadingBatch } from "../../../src/ingest/codecs/reading-batch.ts";

// Invariant: whatever bytes a peer sends, a codec gives readings of finite numbers or NaN, or throws a TidegateError
// of kind reject. Anything else would be a fault of ours that a peer can set off at will.

const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });
const awkwardKeys = ["t", "v", "ts", "r", "__proto__", "constructor", "toString", "length", "0", ""];
const key = fc.oneof(fc.constantFrom(...awkwardKeys), fc.string());
const leaf = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.string(),
  fc.constantFrom("21.5", "ON", "NaN", "1e999", "2026-01-02T03:04:05Z", "2026-02-31", "-", "0x10"),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(key, tie("value"), { maxKeys: 5 }),
    fc.record({ t: leaf, v: leaf, ts: leaf }, { requiredKeys: [] }),
  ),
}));
const rare = fc.oneof(fc.date(), fc.bigInt(), fc.uint8Array(), fc.constant(undefined));

const cell = fc.oneof(leaf.map(String), fc.constantFrom('"', '""', '"a,b"', "t", "v", "ts"));
/** Sound payloads of each codec, or near to sound: so that damage goes deeper than the first byte. */
const sound: Readonly<Record<string, fc.Arbitrary<Buffer>>> = {
  json: value.map((v) => Buffer.from(JSON.stringify(v))),
  cbor: fc.oneof(value, rare, fc.array(rare)).map((v) => Buffer.from(encoder.encode(v))),
  csv: fc
    .tuple(fc.constantFrom("t,v,ts\n", "t,v\n", "v,x\n", ""), fc.array(fc.array(cell, { maxLength: 3 })))
    .map(([head, lines]) => Buffer.from(head + lines.map((cells) => cells.join(",")).join("\n"))),
  float32: fc.float32Array({ maxLength: 6 }).map((floats) => Buffer.from(new Uint8Array(floats.buffer.slice(0)))),
  text: fc.string({ unit: "grapheme" }).map((text) => Buffer.from(text)),
};
const damage = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 3 });
const damaged = (bytes: fc.Arbitrary<Buffer>) =>
  fc.tuple(bytes, damage, fc.nat(400)).map(([before, changes, cut]) => {
    const changed = Buffer.from(before);
    for (const [at, byte] of changes) if (changed.length > 0) changed[at % changed.length] = byte;
    return cut < 200 ? changed.subarray(0, cut) : changed;
  });
/** Bytes that are likely heads of CBOR values, so that its walk and its decoder are led far. */
const cborLike = fc
  .array(
    fc.constantFrom(0x81, 0x82, 0xa1, 0x61, 0x62, 0x74, 0x9f, 0xbf, 0xff, 0xc0, 0xc1, 0xc2, 0x1b, 0xfb, 0xf6, 0, 1),
  )
  .map((bytes) => Buffer.from(bytes));
const payloadFor = (codec: string) => {
  const own = sound[codec] ?? fc.constant(Buffer.alloc(0));
  return fc.oneof(
    { weight: 3, arbitrary: own },
    { weight: 3, arbitrary: damaged(own) },
    { weight: 1, arbitrary: fc.oneof(...Object.values(sound)) },
    { weight: 1, arbitrary: cborLike },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)) },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }).map((text) => Buffer.from(text)) },
  );
};

const field = fc.oneof(
  fc.constantFrom("t", "v", "[0]", "[1]", "r[0].t", ".", "length", "__proto__", "constructor.name", "a.b.c"),
  fc.constant({ path: "t", map: { ON: 1, OFF: 0 } }),
);
const options = fc.record(
  {
    fields: fc.dictionary(fc.constantFrom("a", "b", "c"), field),
    timestamp: fc.oneof(
      fc.constantFrom("ts", "[0]", "."),
      fc.record({ path: fc.constant("ts"), unit: fc.constantFrom("ms", "s", "iso8601", "auto") }),
    ),
    records: fc.constantFrom("r", ".", "t.r"),
    numericStrings: fc.boolean(),
    columns: fc.constantFrom(["t", "v"], ["t", "v", "length"], undefined),
    endian: fc.constantFrom("little", "big"),
  },
  { requiredKeys: [] },
);

const anyPayload = fc.constantFrom(...Object.keys(codecs)).chain((codec) =>
  fc.tuple(
    options.map((chosen) => ({ ...chosen, codec }) as CodecOptions),
    payloadFor(codec),
  ),
);

/** The decoder of arbitrary options; null for those that a configuration may not have. */
function decoderOf(chosen: CodecOptions) {
  try {
    return createDecoder(chosen);
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "CODEC_INVALID") return null;
    throw thrown;
  }
}

describe("any payload", () => {
  it("gives readings or is refused, by every codec", { timeout: 60_000 }, () => {
    const outcomes = new Map<string, number>();
    const count = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    fc.assert(
      fc.property(anyPayload, ([chosen, bytes]) => {
        const decoder = decoderOf(chosen);
        if (!decoder) return;
        const batch = new ReadingBatch(decoder.fields.length);
        try {
          decoder.decode(bytes, batch);
        } catch (thrown) {
          if (!(thrown instanceof TidegateError)) throw thrown;
          expect(thrown.kind).toBe("reject");
          count(`${chosen.codec} refused`);
          return;
        }
        for (const number of batch.values.subarray(0, batch.count * batch.width))
          expect(Math.abs(number)).not.toBe(Number.POSITIVE_INFINITY);
        for (const time of batch.ts.subarray(0, batch.count))
          expect(Number.isNaN(time) || (Number.isInteger(time) && Math.abs(time) <= 8.64e15)).toBe(true);
        if (batch.count > 0) count(`${chosen.codec} taken`);
      }),
      { numRuns: 6_000 },
    );
    // The test says something only if each codec takes some of it and refuses some.
    for (const codec of Object.keys(codecs))
      for (const outcome of ["taken", "refused"])
        expect(outcomes.get(`${codec} ${outcome}`) ?? 0, codec).toBeGreaterThan(5);
  });

  it("is not changed by being read", () => {
    fc.assert(
      fc.property(anyPayload, ([chosen, bytes]) => {
        const before = Buffer.from(bytes);
        const decoder = decoderOf(chosen);
        try {
          decoder?.decode(bytes, new ReadingBatch(decoder.fields.length));
        } catch {}
        expect(before.equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("json and cbor", () => {
  it("give the same readings for the same value", () => {
    const read = (codec: string, bytes: Uint8Array) => {
      const decoder = createDecoder({ codec, fields: { a: "t", b: "v", c: "r[0].t" }, timestamp: "ts" });
      const batch = new ReadingBatch(3);
      try {
        decoder.decode(bytes, batch);
      } catch (thrown) {
        return (thrown as TidegateError).code;
      }
      return [...batch.values.subarray(0, 3 * batch.count), ...batch.ts.subarray(0, batch.count)];
    };
    fc.assert(
      fc.property(value, (original) => {
        // By way of JSON, which has no NaN, no -0 and no __proto__ of its own.
        const plain: unknown = JSON.parse(JSON.stringify(original));
        expect(read("cbor", encoder.encode(plain))).toEqual(read("json", Buffer.from(JSON.stringify(plain))));
      }),
      { numRuns: 1_000 },
    );
  });
});

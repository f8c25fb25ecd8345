import { Encoder } from "cbor-x";
import { describe, expect, it } from "vitest";
import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { ReadingBatch } from "../../../src/ingest/codecs/reading-batch.ts";
import { decode, refusal } from "./decode.ts";

const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false });
const encode = (value: unknown): Uint8Array => encoder.encode(value);
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
const options = (more: Partial<CodecOptions> = {}): CodecOptions => ({ codec: "cbor", fields: { t: "t" }, ...more });

/** {"t": …} in CBOR, with the value as hexadecimals. */
const t = (value: string): Uint8Array => hex(`a1 6174 ${value}`);
const at = Date.UTC(2026, 0, 2, 3, 4, 5);

describe("cbor readings", () => {
  it("come from objects, arrays, nested paths and records", () => {
    expect(decode(encode({ t: 21.5, v: 3 }), options({ fields: { t: "t", v: "v" } })).rows).toEqual([[21.5, 3]]);
    expect(decode(encode([{ t: 1 }, { t: -2 }]), options()).rows).toEqual([[1], [-2]]);
    expect(decode(encode({ a: { b: [{ c: 7 }] } }), options({ fields: { t: "a.b[0].c" } })).rows).toEqual([[7]]);
    expect(decode(encode({ r: [{ t: 1 }, { t: 2 }] }), options({ records: "r" })).rows).toEqual([[1], [2]]);
    expect(decode(encode({ t: "ON" }), options({ fields: { t: { path: "t", map: { ON: 1 } } } })).rows).toEqual([[1]]);
    expect(decode(encode({ t: "5" }), options({ numericStrings: true })).rows).toEqual([[5]]);
  });

  // Values of RFC 8949, appendix A.
  it.each<[string, number]>([
    ["00", 0],
    ["17", 23],
    ["18 18", 24],
    ["19 03e8", 1000],
    ["1a 000f4240", 1_000_000],
    ["1b 000000e8d4a51000", 1e12],
    ["1b ffffffffffffffff", 2 ** 64],
    ["20", -1],
    ["39 03e7", -1000],
    ["3a ffffffff", -(2 ** 32)],
    ["3b 000000e8d4a50fff", -1e12],
    ["c2 49 010000000000000000", 2 ** 64],
    ["c3 49 010000000000000000", -(2 ** 64)],
    ["f9 3e00", 1.5],
    ["f9 0001", 2 ** -24],
    ["fa 47c35000", 100_000],
    ["fb 3ff199999999999a", 1.1],
    ["f4", 0],
    ["f5", 1],
  ])("take %s as %d", (value, expected) => {
    expect(decode(t(value), options()).rows).toEqual([[expected]]);
  });

  it.each(["f6", "f7", "f9 7e00", "fa 7fc00000", "fb 7ff8000000000000"])("take %s for a missing value", (value) => {
    expect(decode(t(value), options())).toMatchObject({ rows: [], skipped: 1, empty: 1 });
  });

  it("may be of indefinite length, with the mark of CBOR, with integer keys", () => {
    expect(decode(hex("9f bf 6174 01 ff a1 6174 02 ff"), options()).rows).toEqual([[1], [2]]);
    expect(decode(hex("d9d9f7 a1 6174 05"), options()).rows).toEqual([[5]]);
    expect(decode(hex("a2 02 18 2a 20 07"), options({ fields: { v: "2", n: "-1" } })).rows).toEqual([[42, 7]]);
  });

  it("bear their time as number, text or tagged", () => {
    const times = [at, at / 1000, "2026-01-02T03:04:05Z", new Date(at)].map((ts) => encode({ t: 1, ts }));
    times.push(hex("a2 6174 01 627473 c1 1b 00000000695735a5"));
    times.push(hex("a2 6174 01 627473 c0 74 323032362d30312d30325430333a30343a30355a"));
    for (const payload of times) expect(decode(payload, options({ timestamp: "ts" })).times).toEqual([at]);
  });

  it("see no inherited properties and change none", () => {
    const payload = hex("a2 6174 01 69 5f5f70726f746f5f5f a1 68 706f6c6c75746564 01");
    const fields = { t: "t", p: "polluted", c: "constructor" };
    expect(decode(payload, options({ fields })).rows).toEqual([[1, Number.NaN, Number.NaN]]);
    expect("polluted" in {}).toBe(false);
  });

  it("are one kept payload where no fields are asked for", () => {
    expect(decode(encode([1, 2]), { codec: "cbor" }).rows).toEqual([[]]);
    expect(createDecoder({ codec: "cbor" }).keepsPayload).toBe(true);
  });
});

describe("bad cbor", () => {
  it.each<[string, Uint8Array, string]>([
    ["nothing", hex(""), "PAYLOAD_MALFORMED"],
    ["a map that is cut off", hex("a1 6174"), "PAYLOAD_MALFORMED"],
    ["a number that is cut off", t("fb 3ff1"), "PAYLOAD_MALFORMED"],
    ["a text that is cut off", hex("a1 65 7475"), "PAYLOAD_MALFORMED"],
    ["something behind its end", hex("a1 6174 01 00"), "PAYLOAD_MALFORMED"],
    ["JSON", Buffer.from('{"t":1}'), "PAYLOAD_MALFORMED"],
    ["a stop out of place", t("ff"), "PAYLOAD_MALFORMED"],
    ["a reserved head", t("1c"), "PAYLOAD_MALFORMED"],
    ["an unknown simple value", t("f8 ff"), "PAYLOAD_MALFORMED"],
    ["an array of 2^32 - 1 values", hex("9a ffffffff"), "PAYLOAD_MALFORMED"],
    ["a map of 2^64 - 1 values", hex("bb ffffffffffffffff"), "PAYLOAD_MALFORMED"],
    ["a text of 2^63 bytes", hex("7b 8000000000000000 00"), "PAYLOAD_MALFORMED"],
    ["a text in pieces", t("7f 6161 ff"), "PAYLOAD_MALFORMED"],
    ["an array without end", hex("9f 01"), "PAYLOAD_MALFORMED"],
    ["a map for a key", hex("a1 a0 01"), "PAYLOAD_MALFORMED"],
    ["a map of indefinite length with half an entry", hex("bf 6174 ff"), "PAYLOAD_MALFORMED"],
    ["a regular expression", t("d81b 83 66526567457870 612e 6167"), "PAYLOAD_MALFORMED"],
    ["a shared value", t("d81c 01"), "PAYLOAD_MALFORMED"],
    ["a reference to nothing", t("d81d 00"), "PAYLOAD_MALFORMED"],
    ["a packed table", t("d833 84 80 80 80 00"), "PAYLOAD_MALFORMED"],
    ["a record", t("d9dfff 83 19e000 81 6161 01"), "PAYLOAD_MALFORMED"],
    ["a set", t("d90102 81 01"), "PAYLOAD_MALFORMED"],
    ["a time of nothing", t("c1 f6"), "PAYLOAD_MALFORMED"],
    ["a big integer of 1 MB", t(`c2 5a 000f4240 ${"ff".repeat(1_000_000)}`), "PAYLOAD_MALFORMED"],
    ["invalid UTF-8", t("62 c328"), "PAYLOAD_ENCODING"],
    ["invalid UTF-8 in a key", hex("a1 61ff 01"), "PAYLOAD_ENCODING"],
    ["infinity", t("f9 7c00"), "PAYLOAD_TYPE"],
    ["minus infinity", t("fb fff0000000000000"), "PAYLOAD_TYPE"],
    ["a text", t("61 61"), "PAYLOAD_TYPE"],
    ["bytes", t("41 01"), "PAYLOAD_TYPE"],
    ["a time for a number", t("c1 01"), "PAYLOAD_TYPE"],
    ["a plain value", hex("01"), "PAYLOAD_TYPE"],
    ["deep arrays", hex(`${"81".repeat(66)}00`), "PAYLOAD_TOO_DEEP"],
    ["10 MB of arrays in arrays", new Uint8Array(10_000_000).fill(0x81), "PAYLOAD_TOO_DEEP"],
    ["10 MB of tags", new Uint8Array(10_000_000).fill(0xc1), "PAYLOAD_MALFORMED"],
  ])("%s is refused", (_, payload, code) => {
    expect(refusal(payload, options())).toMatchObject({ code, kind: "reject" });
  });

  it("is refused when it has more values than memory should hold", () => {
    const payload = new Uint8Array(10_000_000).fill(0x80);
    payload[0] = 0x9f;
    expect(refusal(payload, options())).toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });

  it("of a time is refused", () => {
    for (const ts of ["soon", true, [1], "2026-02-31"])
      expect(refusal(encode({ t: 1, ts }), options({ timestamp: "ts" }))).toMatchObject({ code: "PAYLOAD_TIMESTAMP" });
    // Tag 0 before a text that is no time.
    expect(refusal(hex("a2 6174 01 627473 c0 6178"), options({ timestamp: "ts" }))).toMatchObject({
      code: "PAYLOAD_TIMESTAMP",
    });
  });

  it("leaves the decoder fit for the next payload", () => {
    const decoder = createDecoder(options());
    const batch = new ReadingBatch(1);
    expect(() => decoder.decode(t("fb 3ff1"), batch)).toThrow();
    batch.clear();
    decoder.decode(encode({ t: 1 }), batch);
    expect([batch.count, batch.values[0]]).toEqual([1, 1]);
  });

  it("of 10 MB is read within a second", () => {
    const start = performance.now();
    expect(decode(encode({ t: 1, pad: "x".repeat(10_000_000) }), options()).rows).toEqual([[1]]);
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});

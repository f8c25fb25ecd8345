import { describe, expect, it } from "vitest";
import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { decode, refusal } from "./decode.ts";

type Options = Partial<CodecOptions>;

const rows = (payload: string, options: Options) => decode(payload, { codec: "json", ...options }).rows;
const failure = (payload: string | Uint8Array, options: Options = { fields: { t: "t" } }) =>
  refusal(payload, { codec: "json", ...options });

const tv = { fields: { t: "t", v: "v" } };

describe("json readings", () => {
  it.each<[string, string, Options, number[][]]>([
    ["an object", '{"t":1,"v":2}', tv, [[1, 2]]],
    ["any spacing", ' {\n"v" : 2,\t"t":1e0 } ', tv, [[1, 2]]],
    [
      "an array",
      '[{"t":1,"v":2},{"t":3}]',
      tv,
      [
        [1, 2],
        [3, Number.NaN],
      ],
    ],
    ["nested paths", '{"a":{"b":[5,{"c.d":6}]}}', { fields: { x: "a.b[0]", y: 'a.b[1]["c.d"]' } }, [[5, 6]]],
    ["a plain value", "21.5", { fields: { t: "." } }, [[21.5]]],
    [
      "a plain value, without keys",
      '"9"',
      { fields: { t: ".", n: "length" }, numericStrings: true },
      [[9, Number.NaN]],
    ],
    ["plain values", "[1,2]", { fields: { t: "." } }, [[1], [2]]],
    ["a row by index", "[1,2]", { fields: { t: "[0]", v: "[1]" } }, [[1, 2]]],
    [
      "rows by index",
      "[[1,2],[3,4]]",
      { fields: { t: "[0]", v: "[1]" } },
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["records within", '{"data":{"r":[{"t":1},{"t":2}]}}', { fields: { t: "t" }, records: "data.r" }, [[1], [2]]],
    ["booleans and null", '{"t":true,"v":null}', tv, [[1, Number.NaN]]],
    ["mapped texts", '{"t":"ON","v":2}', { fields: { t: { path: "t", map: { ON: 1, OFF: 0 } }, v: "v" } }, [[1, 2]]],
    ["mapped booleans", '{"t":true}', { fields: { t: { path: "t", map: { true: 7 } } } }, [[7]]],
    ["numbers beside a map", '{"t":5}', { fields: { t: { path: "t", map: { ON: 1 } } } }, [[5]]],
    ["numbers in quotes", '{"t":" 21.5 "}', { fields: { t: "t" }, numericStrings: true }, [[21.5]]],
    ["a byte order mark", '\ufeff{"t":1}', { fields: { t: "t" } }, [[1]]],
    ["names in any script", '{"Wärme":1}', { fields: { t: "Wärme" } }, [[1]]],
  ])("come from %s", (_, payload, options, expected) => {
    expect(rows(payload, options)).toEqual(expected);
  });

  it("are skipped where fields are missing, and left out where all are", () => {
    expect(decode('[{"t":1},{"x":1},{"t":null,"v":null}]', { codec: "json", ...tv })).toMatchObject({
      rows: [[1, Number.NaN]],
      skipped: 5,
      empty: 2,
    });
    expect(decode("null", { codec: "json", fields: { v: ".", t: "t" } })).toMatchObject({ rows: [], empty: 1 });
    expect(decode("[]", { codec: "json", ...tv })).toMatchObject({ rows: [], empty: 1 });
    expect(decode("{}", { codec: "json", ...tv, records: "data" })).toMatchObject({ rows: [], empty: 1 });
  });

  it("are one per payload where no fields are asked for", () => {
    for (const payload of ['{"ts":5000}', '[{"a":1},{"a":2}]', "3"]) {
      expect(decode(payload, { codec: "json", timestamp: "ts" }).rows).toEqual([[]]);
    }
    expect(decode('{"ts":5000}', { codec: "json", timestamp: "ts" }).times).toEqual([5_000_000]);
    expect(createDecoder({ codec: "json" }).keepsPayload).toBe(true);
  });

  it("see no inherited properties", () => {
    const fields = { a: "constructor", b: "__proto__", c: "toString.length", d: "hasOwnProperty" };
    expect(decode("{}", { codec: "json", fields })).toMatchObject({ rows: [], empty: 1 });
    const own = '{"constructor":1,"__proto__":2,"toString":{"length":3},"hasOwnProperty":4}';
    expect(rows(own, { fields })).toEqual([[1, 2, 3, 4]]);
    rows('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"a":1}', { fields: { a: "a" } });
    expect("polluted" in {}).toBe(false);
  });

  it("take as many records as a payload has, up to 65,536", () => {
    const many = (n: number) => JSON.stringify(Array.from({ length: n }, (_, i) => ({ t: i })));
    expect(rows(many(65_536), { fields: { t: "t" } }).at(-1)).toEqual([65_535]);
    expect(failure(many(65_537))).toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  });
});

describe("json times", () => {
  const time = (ts: unknown, unit?: "ms" | "s" | "iso8601" | "auto") =>
    decode(JSON.stringify({ t: 1, ts }), {
      codec: "json",
      fields: { t: "t" },
      timestamp: unit ? { path: "ts", unit } : "ts",
    }).times[0];
  const at = Date.UTC(2026, 0, 2, 3, 4, 5);

  it.each([
    [at, at],
    [at + 0.4, at],
    [at / 1000, at],
    [at * 1000, at],
    [at * 1e6, at],
    [String(at), at],
    ["2026-01-02T03:04:05Z", at],
    ["2026-01-02T03:04:05.250Z", at + 250],
    ["2026-01-02 03:04:05", at],
    ["2026-01-02T05:04:05+02:00", at],
    ["2026-01-01T21:04:05-0600", at],
    ["2026-01-02", Date.UTC(2026, 0, 2)],
    [0, 0],
  ])("%j", (ts, expected) => {
    expect(time(ts)).toBe(expected);
  });

  it("is the arrival's where the payload has none", () => {
    expect([time(null), time(undefined)]).toEqual([Number.NaN, Number.NaN]);
  });

  it.each([["soon"], ["2026-02-31"], ["2026-13-01T00:00:00Z"], [{}], [[1]], [true], [1e300], ["1e5"], [""]])(
    "refuses %j",
    (ts) => {
      expect(() => time(ts)).toThrow(expect.objectContaining({ code: "PAYLOAD_TIMESTAMP" }));
    },
  );

  it("keeps to the unit it is told", () => {
    expect([time(5, "ms"), time(5, "s")]).toEqual([5, 5000]);
    expect(() => time(5, "iso8601")).toThrow(expect.objectContaining({ code: "PAYLOAD_TIMESTAMP" }));
  });
});

describe("bad json", () => {
  it.each<[string, string | Uint8Array, string]>([
    ["nothing", "", "PAYLOAD_MALFORMED"],
    ["half an object", '{"t":1', "PAYLOAD_MALFORMED"],
    ["two objects", '{"t":1}{"t":2}', "PAYLOAD_MALFORMED"],
    ["NaN", '{"t":NaN}', "PAYLOAD_MALFORMED"],
    ["single quotes", "{'t':1}", "PAYLOAD_MALFORMED"],
    ["too large a number", '{"t":1e999}', "PAYLOAD_TYPE"],
    ["minus infinity", '{"t":-1e999}', "PAYLOAD_TYPE"],
    ["a text", '{"t":"21.5"}', "PAYLOAD_TYPE"],
    ["an object for a number", '{"t":{}}', "PAYLOAD_TYPE"],
    ["an array for a number", '{"t":[1]}', "PAYLOAD_TYPE"],
    ["a plain value", "5", "PAYLOAD_TYPE"],
    ["null", "null", "PAYLOAD_TYPE"],
    ["true for an object", "true", "PAYLOAD_TYPE"],
    ["an array of plain values", "[1,2]", "PAYLOAD_TYPE"],
    ["invalid UTF-8", Uint8Array.of(0x22, 0xff, 0xfe, 0x22), "PAYLOAD_ENCODING"],
    ["a cut-off UTF-8 sequence", Uint8Array.of(0x22, 0xc3, 0x22), "PAYLOAD_ENCODING"],
    ["deep arrays", "[".repeat(65).padEnd(200, "]"), "PAYLOAD_TOO_DEEP"],
    ["very deep arrays", "[".repeat(10_000_000), "PAYLOAD_TOO_DEEP"],
    ["deep objects", '{"a":'.repeat(100_000), "PAYLOAD_TOO_DEEP"],
  ])("%s is refused", (_, payload, code) => {
    expect(failure(payload)).toMatchObject({ code, kind: "reject" });
  });

  it("says where it breaks off, without quoting it", () => {
    const error = failure('{"t":1, secret}') as Error;
    expect(error.message).toContain("at character 8");
    expect(error.message).not.toContain("secret");
  });

  it("may have brackets in texts", () => {
    expect(rows(JSON.stringify({ t: 1, note: `${"[{".repeat(500)}\\"` }), { fields: { t: "t" } })).toEqual([[1]]);
  });

  it("of 10 MB is read within a second", () => {
    const payload = Buffer.from(`{"t":1,"pad":"${"x".repeat(10_000_000)}"}`);
    const start = performance.now();
    expect(decode(payload, { codec: "json", fields: { t: "t" } }).rows).toEqual([[1]]);
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});

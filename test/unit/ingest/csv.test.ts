import { describe, expect, it } from "vitest";
import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { decode, refusal } from "./decode.ts";

const options = (more: Partial<CodecOptions> = {}): CodecOptions => ({
  codec: "csv",
  fields: { t: "t", v: "v" },
  ...more,
});

describe("csv readings", () => {
  it.each<[string, string, Partial<CodecOptions>, number[][]]>([
    [
      "a header line",
      "t,v\n1,2\n3,4\n",
      {},
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["any order of columns", "id,v,t\r\nx,2,1\r\n", {}, [[1, 2]]],
    ["blanks around", " t , v \n 1 , 2 ", {}, [[1, 2]]],
    ["named columns", "1,2", { columns: ["t", "v"] }, [[1, 2]]],
    ["indexes", "1,2,3", { fields: { t: "[2]", v: "[0]" } }, [[3, 1]]],
    ["an index beside a header", "a,b\n1,2", { fields: { t: "[1]", v: "a" } }, [[2, 1]]],
    ["odd names of columns", '"Temp. (°C)","x,y"\n1,2', { fields: { t: "Temp. (°C)", v: "x,y" } }, [[1, 2]]],
    ["quotes", '"t","v"\n"1","2"\n', {}, [[1, 2]]],
    [
      "quoted texts",
      't,v,note\n1,2,"a ""b"", c\nd"\n3,4,',
      {},
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["semicolons", "t;v\n1;2", { delimiter: ";" }, [[1, 2]]],
    ["tabs", "t\tv\n1\t2", { delimiter: "\t" }, [[1, 2]]],
    [
      "empty lines between",
      "t,v\n\n1,2\n\n\n3,4\n\n",
      {},
      [
        [1, 2],
        [3, 4],
      ],
    ],
    [
      "missing values",
      "t,v\n1,\nNaN,2\nnull, nan",
      {},
      [
        [1, Number.NaN],
        [Number.NaN, 2],
      ],
    ],
    ["a missing column", "t\n1", {}, [[1, Number.NaN]]],
    ["true and false", "true,false", { columns: ["t", "v"] }, [[1, 0]]],
    ["mapped texts", "ON,1", { columns: ["t", "v"], fields: { t: { path: "t", map: { ON: 5 } } } }, [[5]]],
    ["exponents", "1e3,-.5", { columns: ["t", "v"] }, [[1000, -0.5]]],
    ["a byte order mark", "\ufefft,v\n1,2", {}, [[1, 2]]],
    ["one cell", "21.5", { fields: { t: "[0]" } }, [[21.5]]],
  ])("come with %s", (_, payload, more, rows) => {
    expect(decode(payload, options(more)).rows).toEqual(rows);
  });

  it("bear the time of a column", () => {
    const payload = "ts,t,v\n2026-01-02T03:04:05Z,1,2\n,3,4\n1767323045,5,6";
    const at = Date.UTC(2026, 0, 2, 3, 4, 5);
    expect(decode(payload, options({ timestamp: "ts" })).times).toEqual([at, Number.NaN, at]);
    expect(decode("1,2,7", options({ fields: { t: "[0]" }, timestamp: { path: "[2]", unit: "ms" } })).times).toEqual([
      7,
    ]);
  });

  it("count what is not there", () => {
    expect(decode("t,v\n1,\n,", options())).toMatchObject({ rows: [[1, Number.NaN]], skipped: 3, empty: 1 });
    expect(decode("t,v\n", options())).toMatchObject({ rows: [], empty: 1 });
  });

  it("are one kept payload where no fields are asked for", () => {
    expect(decode("a,b\n1,2\n3,4", { codec: "csv" }).rows).toEqual([[]]);
    expect(createDecoder({ codec: "csv" }).keepsPayload).toBe(true);
  });
});

describe("bad csv", () => {
  it.each<[string, string | Uint8Array, string]>([
    ["nothing", "", "PAYLOAD_MALFORMED"],
    ["blank lines", "\r\n \n", "PAYLOAD_MALFORMED"],
    ["a line without a header", "1,2\n3,4", "PAYLOAD_MALFORMED"],
    ["a short line", "t,v\n1,2\n3", "PAYLOAD_MALFORMED"],
    ["a long line", "t,v\n1,2,3", "PAYLOAD_MALFORMED"],
    ["an open quote", 't,v\n"1,2', "PAYLOAD_MALFORMED"],
    ["text behind a quote", 't,v\n"1"x,2', "PAYLOAD_MALFORMED"],
    ["a text", "t,v\nwarm,2", "PAYLOAD_TYPE"],
    ["a decimal comma in quotes", 't,v\n"1,5",2', "PAYLOAD_TYPE"],
    ["inf", "t,v\ninf,2", "PAYLOAD_TYPE"],
    ["-Infinity", "t,v\n-Infinity,2", "PAYLOAD_TYPE"],
    ["too large a number", "t,v\n1e999,2", "PAYLOAD_TYPE"],
    ["hexadecimals", "t,v\n0x10,2", "PAYLOAD_TYPE"],
    ["JSON", '{"t":1,"v":2}', "PAYLOAD_MALFORMED"],
    ["invalid UTF-8", Uint8Array.of(0x74, 0x2c, 0xff), "PAYLOAD_ENCODING"],
    ["10 MB of readings", `t,v\n${"1,2\n".repeat(2_500_000)}`, "PAYLOAD_TOO_LARGE"],
    ["10 MB of delimiters", ",".repeat(10_000_000), "PAYLOAD_MALFORMED"],
    ["10 MB of quotes", '"'.repeat(10_000_001), "PAYLOAD_MALFORMED"],
    ["prototype keys", "__proto__,constructor\n1,2", "PAYLOAD_MALFORMED"],
  ])("%s is refused", (_, payload, code) => {
    expect(refusal(payload, options())).toMatchObject({ code, kind: "reject" });
  });

  it("names the line, not what is in it", () => {
    const error = refusal("t,v\n1,2\nsecret", options()) as Error;
    expect(error.message).toContain("line 3 has 1 columns, not 2");
    expect(error.message).not.toContain("secret");
    expect((refusal('t,v\n"1\n\n",2\nx', options({ fields: { v: "v" } })) as Error).message).toContain("line 5");
  });

  it("of a time is refused", () => {
    expect(refusal("ts,t\nsoon,1", options({ timestamp: "ts" }))).toMatchObject({ code: "PAYLOAD_TIMESTAMP" });
  });

  it.each<[string, Partial<CodecOptions>]>([
    ["a field that is not a column", { columns: ["t"] }],
    ["a time that is not a column", { columns: ["t", "v"], timestamp: "ts" }],
    ["two characters between columns", { delimiter: "::" }],
    ["a quote between columns", { delimiter: '"' }],
  ])("a stream with %s is refused", (_, more) => {
    expect(() => createDecoder(options(more))).toThrow(expect.objectContaining({ code: "CODEC_INVALID" }));
  });
});

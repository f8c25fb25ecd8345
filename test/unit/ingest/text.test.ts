import { describe, expect, it } from "vitest";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { decode, refusal } from "./decode.ts";

describe("a text", () => {
  it("is one kept reading without fields", () => {
    expect(createDecoder({ codec: "text" })).toMatchObject({ fields: [], keepsPayload: true });
    for (const payload of ["", "hello", "Grüße 🌱", "x".repeat(10_000_000)])
      expect(decode(payload, { codec: "text" }).rows).toEqual([[]]);
  });

  it("is refused when it is not UTF-8", () => {
    for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80]])
      expect(refusal(Uint8Array.from(bytes), { codec: "text" })).toMatchObject({ code: "PAYLOAD_ENCODING" });
  });
});

describe("a codec that is not there", () => {
  it.each(["xml", "constructor", "__proto__", ""])("%j is refused with those that are", (codec) => {
    expect(() => createDecoder({ codec })).toThrow(
      expect.objectContaining({ code: "CODEC_INVALID", message: expect.stringContaining("json, cbor, csv") }),
    );
  });
});

import { describe, expect, it } from "vitest";
import { isProven, parseReceipt, receiptProof, renderReceipt } from "../../../src/wire/receipt.ts";

const token = new Uint8Array(32).fill(1);
const said = { incarnation: "i1", lane: "rest", stream: "env", upTo: 41 } as const;
const receipt = { ...said, proof: receiptProof(token, said) };
const invalid = expect.objectContaining({ code: "RECEIPT_INVALID" });

describe("a receipt", () => {
  it("comes back as it went, with its proof", () => {
    const parsed = parseReceipt(Buffer.from(renderReceipt(receipt)));
    expect(parsed).toEqual(receipt);
    expect(isProven(parsed, token)).toBe(true);
  });

  it.each([
    ["another token", receipt, new Uint8Array(32).fill(2)],
    ["another end", { ...receipt, upTo: 42 }, token],
    ["another stream", { ...receipt, stream: "air" }, token],
    ["another lane", { ...receipt, lane: "alarm" as const }, token],
    ["another incarnation", { ...receipt, incarnation: "i2" }, token],
    ["no proof to speak of", { ...receipt, proof: "" }, token],
  ])("proves nothing for %s", (_, changed, key) => {
    expect(isProven(changed, key)).toBe(false);
  });

  it.each([
    "",
    "null",
    "[]",
    "{}",
    renderReceipt({ ...receipt, stream: "a/b" }),
    renderReceipt({ ...receipt, upTo: -1 }),
    renderReceipt(receipt).replace("rest", "side"),
    renderReceipt({ ...receipt, upTo: 1.5 }),
    renderReceipt({ ...receipt, proof: "x" }),
    renderReceipt({ ...receipt, incarnation: "" }),
    renderReceipt({ ...receipt, incarnation: "x".repeat(2000) }),
  ])("is refused: %.60s", (text) => {
    expect(() => parseReceipt(Buffer.from(text))).toThrow(invalid);
  });
});

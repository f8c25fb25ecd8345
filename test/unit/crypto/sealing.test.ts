import fc from "fast-check";
import nacl from "tweetnacl";
import { describe, expect, it } from "vitest";
import { deriveKey, open, openFrom, seal, sealOverhead, sealTo } from "../../../src/crypto/sealing.ts";

const key = new Uint8Array(32).fill(9);
const reader = nacl.box.keyPair.fromSecretKey(new Uint8Array(32).fill(5));
const weak = expect.objectContaining({ code: "KEY_WEAK" });

describe("sealing with a key", () => {
  it("opens to what was sealed, and adds what it says it adds", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (plain) => {
        const sealed = seal(plain, key);
        expect(sealed.length).toBe(plain.length + sealOverhead);
        expect(open(sealed, key)).toEqual(plain);
      }),
    );
  });

  it("opens to nothing when any bit of it or of the key is another", () => {
    const sealed = seal(Buffer.from("a reading"), key);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = sealed.slice();
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(open(changed, key)).toBeNull();
    }
    for (let end = 0; end < sealed.length; end++) expect(open(sealed.subarray(0, end), key)).toBeNull();
    expect(open(sealed, deriveKey(key, "other"))).toBeNull();
  });

  it("derives as RFC 5869 does, test 3 (no salt, no purpose)", () => {
    const derived = deriveKey(new Uint8Array(22).fill(0x0b), "", 42);
    expect(Buffer.from(derived).toString("hex")).toBe(
      "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    );
  });
});

describe("sealing for a reader", () => {
  it("is NaCl's box, both ways", () => {
    const plain = new Uint8Array(Buffer.from("a batch"));
    const { ephemeral, nonce, box } = sealTo(plain, reader.publicKey);
    expect(nacl.box.open(box, nonce, ephemeral, reader.secretKey)).toEqual(plain);
    const sender = nacl.box.keyPair();
    const made = {
      ephemeral: sender.publicKey,
      nonce,
      box: nacl.box(plain, nonce, reader.publicKey, sender.secretKey),
    };
    expect(openFrom(made, reader.secretKey)).toEqual(plain);
  });

  it("never uses a key pair or a nonce twice", () => {
    const boxes = Array.from({ length: 50 }, () => sealTo(new Uint8Array(1), reader.publicKey));
    expect(new Set(boxes.map(({ ephemeral }) => Buffer.from(ephemeral).toString("hex"))).size).toBe(50);
    expect(new Set(boxes.map(({ nonce }) => Buffer.from(nonce).toString("hex"))).size).toBe(50);
  });

  it("opens for nobody else, and not when it was changed", () => {
    const sealed = sealTo(new Uint8Array(10), reader.publicKey);
    expect(openFrom(sealed, new Uint8Array(32).fill(6))).toBeNull();
    expect(openFrom({ ...sealed, box: sealed.box.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) }, key)).toBeNull();
    expect(openFrom({ ...sealed, nonce: new Uint8Array(3) }, reader.secretKey)).toBeNull();
    expect(openFrom({ ...sealed, ephemeral: new Uint8Array(31) }, reader.secretKey)).toBeNull();
  });

  it("refuses keys under which everybody could open", () => {
    const weakKeys = [
      new Uint8Array(32),
      Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0)),
      new Uint8Array(3),
    ];
    for (const publicKey of weakKeys) {
      expect(() => sealTo(new Uint8Array(1), publicKey)).toThrow(weak);
    }
    const sealed = sealTo(new Uint8Array(1), reader.publicKey);
    expect(() => openFrom({ ...sealed, ephemeral: new Uint8Array(32) }, reader.secretKey)).toThrow(weak);
  });
});

import { describe, expect, it } from "vitest";
import { fingerprint, isSignedBy, signerOf } from "../../../src/crypto/signing.ts";

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

describe("signing", () => {
  it("agrees with RFC 8032, test 3", () => {
    const signer = signerOf(bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"));
    expect(signer.publicKey).toEqual(bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"));
    expect(signer.sign(bytes("af82"))).toEqual(
      bytes(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac" +
          "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
      ),
    );
    expect(signer.keyId).toBe(fingerprint(signer.publicKey));
  });

  it("is bound to key, message and every byte of the signature", () => {
    const signer = signerOf(new Uint8Array(32).fill(3));
    const other = signerOf(new Uint8Array(32).fill(4));
    const message = Buffer.from("a message");
    const signature = signer.sign(message);
    expect(isSignedBy(signer.publicKey, message, signature)).toBe(true);
    expect(isSignedBy(other.publicKey, message, signature)).toBe(false);
    expect(isSignedBy(signer.publicKey, Buffer.from("A message"), signature)).toBe(false);
    for (let i = 0; i < 64; i++) {
      const changed = signature.slice();
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(isSignedBy(signer.publicKey, message, changed)).toBe(false);
    }
  });

  it("takes no second form of a signature: S plus the group's order", () => {
    const signer = signerOf(new Uint8Array(32).fill(3));
    const message = Buffer.from("a message");
    const signature = signer.sign(message);
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    let s = order;
    for (let i = 0; i < 32; i++) s += BigInt(signature[32 + i] ?? 0) << BigInt(8 * i);
    const second = signature.slice();
    for (let i = 0; i < 32; i++) second[32 + i] = Number((s >> BigInt(8 * i)) & 255n);
    expect(second).not.toEqual(signature);
    expect(isSignedBy(signer.publicKey, message, second)).toBe(false);
  });

  it("trusts no key of small order, for which a signature over anything can be made without a secret", () => {
    const points = [
      "0100000000000000000000000000000000000000000000000000000000000000",
      "0000000000000000000000000000000000000000000000000000000000000000",
      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ].map(bytes);
    for (const key of points) {
      for (const r of points) {
        const signature = new Uint8Array(64);
        signature.set(r);
        for (let i = 0; i < 16; i++) expect(isSignedBy(key, Buffer.from(`message ${i}`), signature)).toBe(false);
      }
    }
  });

  it("says false, not an error, to what is no key and no signature", () => {
    const signer = signerOf(new Uint8Array(32).fill(3));
    const message = new Uint8Array(1);
    expect(isSignedBy(new Uint8Array(0), message, signer.sign(message))).toBe(false);
    expect(isSignedBy(new Uint8Array(32).fill(255), message, signer.sign(message))).toBe(false);
    expect(isSignedBy(signer.publicKey, message, new Uint8Array(0))).toBe(false);
    expect(isSignedBy(signer.publicKey, message, new Uint8Array(65))).toBe(false);
  });
});

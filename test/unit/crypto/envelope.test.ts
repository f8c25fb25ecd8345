import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openEnvelope, preAuthEncoding, signEnvelope } from "../../../src/crypto/envelope.ts";
import { openDocument, signDocument } from "../../../src/crypto/signed-document.ts";
import { signerOf } from "../../../src/crypto/signing.ts";

const [alice, bob, mallory] = [1, 2, 3].map((n) => signerOf(new Uint8Array(32).fill(n, 0, 20))) as [
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
  ReturnType<typeof signerOf>,
];
const payloadType = "application/vnd.tidegate.test+json";
const payload = Buffer.from('{"a":1}');
const trusted = [alice.publicKey, bob.publicKey];
const denied = expect.objectContaining({ code: "SIGNATURE_MISSING" });
const malformed = expect.objectContaining({ code: "ENVELOPE_INVALID" });

describe("an envelope", () => {
  it("encodes what is signed as DSSE's specification shows it", () => {
    const encoded = preAuthEncoding("http://example.com/HelloWorld", Buffer.from("hello world"));
    expect(Buffer.from(encoded).toString()).toBe("DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  });

  it("opens for whoever trusts its signer", () => {
    const text = JSON.stringify(signEnvelope(payloadType, payload, [alice]));
    const opened = openEnvelope(text, { payloadType, trusted });
    expect(Buffer.from(opened.payload)).toEqual(payload);
    expect(opened.signedBy).toEqual([alice.keyId]);
    expect(() => openEnvelope(text, { payloadType, trusted: [bob.publicKey] })).toThrow(denied);
    expect(() => openEnvelope(text, { payloadType, trusted: [] })).toThrow(denied);
  });

  it("counts keys, not signatures", () => {
    const twice = signEnvelope(payloadType, payload, [alice, alice, mallory]);
    const renamed = { ...twice, signatures: twice.signatures.map(({ sig }, i) => ({ keyid: `key ${i}`, sig })) };
    const nameless = { ...twice, signatures: twice.signatures.map(({ sig }) => ({ sig })) };
    for (const envelope of [twice, renamed, nameless]) {
      const policy = { payloadType, trusted: [...trusted, alice.publicKey, alice.publicKey], threshold: 2 };
      expect(() => openEnvelope(JSON.stringify(envelope), policy)).toThrow(denied);
    }
    const both = signEnvelope(payloadType, payload, [mallory, bob, alice]);
    const { signedBy } = openEnvelope(JSON.stringify(both), { payloadType, trusted, threshold: 2 });
    expect(signedBy.sort()).toEqual([alice.keyId, bob.keyId].sort());
  });

  it("is never taken for a document of another kind", () => {
    const envelope = signEnvelope("application/vnd.tidegate.other+json", payload, [alice]);
    expect(() => openEnvelope(JSON.stringify(envelope), { payloadType, trusted })).toThrow(denied);
    const relabelled = JSON.stringify({ ...envelope, payloadType });
    expect(() => openEnvelope(relabelled, { payloadType, trusted })).toThrow(denied);
  });

  it("takes the other alphabet of base64 and signatures without a key id", () => {
    const envelope = signEnvelope(payloadType, new Uint8Array([251, 255, 254]), [alice]);
    const url = (text: string) => text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
    const text = JSON.stringify({
      ...envelope,
      payload: url(envelope.payload),
      signatures: envelope.signatures.map(({ sig }) => ({ keyid: "", sig: url(sig) })),
    });
    expect(openEnvelope(text, { payloadType, trusted }).payload).toEqual(new Uint8Array([251, 255, 254]));
  });

  it.each([
    "",
    "[]",
    "null",
    "{}",
    '{"payloadType":"a","payload":"b"}',
    `{"payloadType":"${payloadType}","payload":"AA==","signatures":[1]}`,
    `{"payloadType":"${payloadType}","payload":"A A","signatures":[]}`,
    `{"payloadType":"${payloadType}","payload":"AA==","signatures":[${Array(17).fill('{"sig":"AA=="}').join()}]}`,
    `{"payloadType":"${payloadType}","payload":"${"A".repeat(300_000)}","signatures":[]}`,
  ])("refuses what is malformed or too large: %.40s", (text) => {
    expect(() => openEnvelope(text, { payloadType, trusted })).toThrow(malformed);
  });

  it("whatever one changes in it, it opens to the signed bytes or not at all", () => {
    const signed = signEnvelope(payloadType, payload, [alice]);
    const text = Buffer.from(JSON.stringify(signed));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = new Uint8Array(text);
        changed[at] = (changed[at] ?? 0) ^ flip;
        try {
          const opened = openEnvelope(changed, { payloadType, trusted });
          expect(Buffer.from(opened.payload)).toEqual(payload);
        } catch (thrown) {
          expect((thrown as { code: string }).code).toMatch(/^(ENVELOPE_INVALID|SIGNATURE_MISSING)$/);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("opens to any bytes of any type that were signed, and under no other type", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string(), fc.string(), (bytes, type, other) => {
        const text = JSON.stringify(signEnvelope(type, bytes, [bob]));
        expect(openEnvelope(text, { payloadType: type, trusted }).payload).toEqual(bytes);
        if (other !== type) expect(() => openEnvelope(text, { payloadType: other, trusted })).toThrow(denied);
      }),
      { numRuns: 100 },
    );
  });
});

describe("a signed document", () => {
  const document = { kind: "data-keys", audience: "demo", version: 3, keys: ["a"] };
  const text = JSON.stringify(signDocument(document, [alice]));

  it("is read by those it is meant for, as the kind it is", () => {
    expect(openDocument(text, { kind: "data-keys", audience: "demo", trusted }).document).toEqual(document);
    expect(() => openDocument(text, { kind: "data-keys", audience: "other", trusted })).toThrow(denied);
    expect(() => openDocument(text, { kind: "twin", audience: "demo", trusted })).toThrow(denied);
  });

  it("names its kind inside the signature too", () => {
    const forged = signEnvelope("application/vnd.tidegate.twin+json", Buffer.from(JSON.stringify(document)), [alice]);
    const policy = { kind: "twin", audience: "demo", trusted };
    expect(() => openDocument(JSON.stringify(forged), policy)).toThrow(malformed);
  });

  it("is refused when its payload is not JSON", () => {
    const broken = signEnvelope("application/vnd.tidegate.twin+json", new Uint8Array([255, 0]), [alice]);
    const policy = { kind: "twin", audience: "demo", trusted };
    expect(() => openDocument(JSON.stringify(broken), policy)).toThrow(malformed);
  });
});

import { hash } from "node:crypto";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { preAuthEncoding } from "../../../src/crypto/envelope.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { sealTo } from "../../../src/crypto/sealing.ts";
import { fingerprint } from "../../../src/crypto/signing.ts";
import { type BatchFacts, batchOverhead, decodeBatch, encodeBatch, newToken } from "../../../src/wire/batch.ts";
import { type BatchHead, encodeHead, numbersOf } from "../../../src/wire/batch-head.ts";
import { decodeCbor, encodeCbor } from "../../../src/wire/cbor.ts";

const gateway = ephemeralKeyRing();
const sink = ephemeralKeyRing();
const other = ephemeralKeyRing();
const reader = { secretKeys: [sink.box], isTrusted: () => true };
const facts: BatchFacts = {
  ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", stream: "env" },
  ...{ lane: "rest", kind: "result", numbers: [7, 9], after: 5, floor: 3, at: 1_700_000_000_000 },
};
const lines = ['{"id":"a"}', '{"id":"b","name":"Größe"}'];
const bytes = (texts: readonly string[]) => texts.map((text) => new Uint8Array(Buffer.from(text)));
const token = newToken();
const encode = (texts = lines, about = facts) =>
  encodeBatch(about, bytes(texts), sink.box.publicKey, gateway.signer, token);
const encoded = await encode();
const { head } = await decodeBatch(encoded, reader);
const failing = (code: string) => expect.objectContaining({ code });
type Parts = {
  v: number;
  head: Uint8Array;
  ephemeral: Uint8Array;
  nonce: Uint8Array;
  box: Uint8Array;
  signature: Uint8Array;
};
const partsOf = (payload: Uint8Array) => decodeCbor(payload, { maxDepth: 1, maxItems: 32 }) as Parts;

/** A batch by somebody who follows the format but not its rules. */
function forge(change: {
  size?: number;
  span?: Partial<BatchHead>;
  body?: Uint8Array;
  signer?: typeof gateway.signer;
}): Uint8Array {
  const body = change.body ?? Buffer.from(`${lines.join("\n")}\n`);
  const signer = change.signer ?? gateway.signer;
  const headBytes = encodeHead({
    ...{ ...head, ...change.span, size: change.size ?? body.length },
    ...{ to: fingerprint(sink.box.publicKey), signer: signer.publicKey },
  });
  const digest = hash("sha256", headBytes, "buffer");
  const sealed = sealTo(Buffer.concat([digest, new Uint8Array(32), zstdCompressSync(body)]), sink.box.publicKey);
  const signed = Buffer.concat([digest, sealed.ephemeral, sealed.nonce, sealed.box]);
  const signature = signer.sign(preAuthEncoding("application/vnd.tidegate.batch.v1+cbor", signed));
  return encodeCbor({ v: 1, head: headBytes, ...sealed, signature });
}

describe("a batch", () => {
  it("opens for the sink to the lines and the head it was made of", async () => {
    const batch = await decodeBatch(encoded, reader);
    expect(batch.lines).toEqual(lines);
    expect(batch.token).toEqual(token);
    const { numbers, ...named } = facts;
    expect(batch.head).toMatchObject({ ...named, n: 7, last: 9, steps: [2], to: fingerprint(sink.box.publicKey) });
    expect(numbersOf(batch.head)).toEqual(numbers);
    expect(Buffer.from(batch.head.signer)).toEqual(Buffer.from(gateway.signer.publicKey));
  });

  it("shows nothing of its lines and is small", () => {
    expect(Buffer.from(encoded).includes("Größe")).toBe(false);
    const headBytes = partsOf(encoded).head.length;
    expect(encoded.length).toBeLessThan(headBytes + zstdCompressSync(lines.join("\n")).length + batchOverhead);
  });

  it("never looks the same twice", async () => {
    const again = await encode();
    expect(partsOf(again).ephemeral).not.toEqual(partsOf(encoded).ephemeral);
  });

  it("opens with any of the sink's keys, and with no other's", async () => {
    const both = { ...reader, secretKeys: [other.box, sink.box] };
    expect((await decodeBatch(encoded, both)).lines).toEqual(lines);
    const wrong = { ...reader, secretKeys: [other.box] };
    await expect(decodeBatch(encoded, wrong)).rejects.toThrow(failing("BATCH_SEALED"));
  });

  it("is refused before it is opened when its signer is not trusted", async () => {
    const strict = { ...reader, isTrusted: () => false };
    await expect(decodeBatch(encoded, strict)).rejects.toThrow(failing("BATCH_UNTRUSTED"));
  });

  it("cannot be taken over by another trusted gateway", async () => {
    const parts = partsOf(encoded);
    const theirs = encodeHead({
      ...(await decodeBatch(encoded, reader)).head,
      gateway: "gw-2",
      signer: other.signer.publicKey,
    });
    const signed = Buffer.concat([hash("sha256", theirs, "buffer"), parts.ephemeral, parts.nonce, parts.box]);
    const signature = other.signer.sign(preAuthEncoding("application/vnd.tidegate.batch.v1+cbor", signed));
    const stolen = encodeCbor({ ...parts, head: theirs, signature });
    await expect(decodeBatch(stolen, reader)).rejects.toThrow(/belongs to another head/);
  });

  it("whichever bit is changed, wherever it is cut: refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(encoded.length * 8 - 1), async (bit) => {
        const changed = encoded.slice();
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        await expect(decodeBatch(changed, reader)).rejects.toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^(BATCH_|KEY_WEAK)/) }),
        );
      }),
      { numRuns: 600 },
    );
    for (let end = 0; end < encoded.length; end += 7) {
      await expect(decodeBatch(encoded.subarray(0, end), reader)).rejects.toThrow(failing("BATCH_INVALID"));
    }
  });

  it("random bytes are refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (garbage) => {
        await expect(decodeBatch(garbage, reader)).rejects.toThrow(failing("BATCH_INVALID"));
      }),
    );
  });

  it("carries any lines of text", async () => {
    const line = fc.string({ unit: "grapheme", maxLength: 50 }).map((text) => JSON.stringify({ text }));
    await fc.assert(
      fc.asyncProperty(fc.array(line, { minLength: 1, maxLength: 50 }), async (texts) => {
        const payload = await encode(texts, { ...facts, numbers: texts.map((_, i) => 7 + i) });
        expect((await decodeBatch(payload, reader)).lines).toEqual(texts);
      }),
      { numRuns: 30 },
    );
  });

  it("the forger of these tests knows the format", async () => {
    expect((await decodeBatch(forge({}), reader)).lines).toEqual(lines);
  });

  it("a bomb is not unpacked, whatever its head says", async () => {
    const bomb = Buffer.alloc(100 * 2 ** 20, 0x20);
    const before = process.memoryUsage().arrayBuffers;
    await expect(decodeBatch(forge({ body: bomb }), reader)).rejects.toThrow(/unpacks to 104857600 bytes/);
    await expect(decodeBatch(forge({ body: bomb, size: 1000 }), reader)).rejects.toThrow(/does not unpack/);
    await expect(decodeBatch(forge({ body: bomb, size: 0 }), reader)).rejects.toThrow(failing("BATCH_INVALID"));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(120 * 2 ** 20);
  });

  it.each([
    ["too few lines", { span: { count: 1, steps: [], last: 7 } }],
    ["too many lines", { span: { count: 3, steps: [1, 1] } }],
    ["a size too large", { size: 1000 }],
    ["no line break at its end", { body: Buffer.from("{}\n{}") }],
    ["bytes that are no text", { body: Buffer.from([0xff, 0x0a, 0x7b, 0x0a]) }],
    [
      "more lines than one may have",
      { body: Buffer.alloc(9_000, 0x0a), span: { count: 9_000, steps: Array(8_999).fill(1), last: 9_006 } },
    ],
  ])("with %s it is refused", async (_, change) => {
    await expect(decodeBatch(forge(change), reader)).rejects.toThrow(failing("BATCH_INVALID"));
  });

  it.each([
    ["lane", "side"],
    ["kind", "raw"],
    ["n", -1],
    ["n", 2 ** 53 - 1],
    ["n", 8],
    ["last", 8],
    ["after", 7],
    ["after", -2],
    ["steps", [0]],
    ["steps", [1, 1]],
    ["steps", "1"],
    ["n", 1.5],
    ["count", 0],
    ["gateway", "../etc"],
    ["gateway", 5],
    ["to", "xyz"],
    ["signer", new Uint8Array(31)],
  ])("with the %s %s it is refused", async (name, value) => {
    const payload = encodeCbor({ ...partsOf(encoded), head: encodeCbor({ ...head, [name]: value }) });
    await expect(decodeBatch(payload, reader)).rejects.toThrow(failing("BATCH_INVALID"));
  });

  it("of a later version it is refused by name", async () => {
    const payload = encodeCbor({ ...partsOf(encoded), v: 2 });
    await expect(decodeBatch(payload, reader)).rejects.toThrow("version is 2");
  });
});

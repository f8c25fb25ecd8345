import { createHash, createHmac } from "node:crypto";
import { zstdDecompressSync } from "node:zlib";
import { decode } from "cbor-x";
import nacl from "tweetnacl";
import { expect, it } from "vitest";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { encodeBatch, newToken } from "../../../src/wire/batch.ts";
import { receiptProof } from "../../../src/wire/receipt.ts";

// A second reader, made from docs/batch-format.md alone with none of the project's own code.
it("a batch is what docs/batch-format.md says", async () => {
  const [gateway, sink] = [ephemeralKeyRing(), ephemeralKeyRing()];
  const token = newToken();
  const about = {
    fleet: "demo",
    gateway: "gw-1",
    incarnation: "i1",
    stream: "env",
    lane: "rest",
    kind: "result",
  } as const;
  const facts = { ...about, numbers: [4, 6, 7], after: 1, floor: 2, at: 1_700_000_000_000 };
  const lines = ["{}", '{"a":1}', '{"b":"ß"}'];
  const encoded = await encodeBatch(
    facts,
    lines.map((line) => Buffer.from(line)),
    sink.box.publicKey,
    gateway.signer,
    token,
  );

  const batch = decode(encoded);
  expect(Object.keys(batch).sort()).toEqual(["box", "ephemeral", "head", "nonce", "signature", "v"]);
  const head = decode(batch.head);
  const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
  expect({ ...head, signer: new Uint8Array(head.signer) }).toEqual({
    ...about,
    ...{ n: 4, last: 7, count: 3, steps: [2, 1], after: 1, floor: 2, at: 1_700_000_000_000 },
    ...{ size: Buffer.byteLength(lines.join("\n")) + 1, to: sha256(sink.box.publicKey).toString("hex").slice(0, 32) },
    signer: new Uint8Array(gateway.signer.publicKey),
  });

  const signed = Buffer.concat([sha256(batch.head), batch.ephemeral, batch.nonce, batch.box]);
  const encoding = Buffer.concat([
    Buffer.from(`DSSEv1 38 application/vnd.tidegate.batch.v1+cbor ${signed.length} `),
    signed,
  ]);
  const bytes = (part: Uint8Array) => new Uint8Array(part);
  expect(nacl.sign.detached.verify(bytes(encoding), bytes(batch.signature), bytes(head.signer))).toBe(true);

  const plain = nacl.box.open(bytes(batch.box), bytes(batch.nonce), bytes(batch.ephemeral), sink.box.secretKey);
  const inside = Buffer.from(plain ?? []);
  expect(inside.subarray(0, 32)).toEqual(sha256(batch.head));
  expect(inside.subarray(32, 64)).toEqual(Buffer.from(token));
  expect(zstdDecompressSync(inside.subarray(64)).toString("utf8")).toBe(lines.map((line) => `${line}\n`).join(""));

  const said = { incarnation: "i1", lane: "rest", stream: "env", upTo: 7 } as const;
  const text = ["tidegate/receipt/1", "i1", "rest", "env", "7"].join("\n");
  expect(receiptProof(token, said)).toBe(createHmac("sha256", inside.subarray(32, 64)).update(text).digest("hex"));
});

import { hash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { preAuthEncoding } from "../../../src/crypto/envelope.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { parseRound } from "../../../src/federated/round-document.ts";
import { decodeUpdate, encodeUpdate } from "../../../src/federated/update-header.ts";
import { cutUpdate, decodePart } from "../../../src/federated/update-parts.ts";
import { openReceipt, signReceipt } from "../../../src/federated/update-receipt.ts";
import { decodeCbor, encodeCbor } from "../../../src/wire/cbor.ts";
import { roundOf, updateOf } from "../../support/rounds.ts";

const coordinator = ephemeralKeyRing();
const gateway = ephemeralKeyRing();
const body = Uint8Array.from({ length: 5_000 }, (_, i) => i % 251);
const whole = encodeUpdate(updateOf("gw-1", body));
const facts = { fleet: "demo", gateway: "gw-1", model: "mote-anomaly", round: 5, maxPayload: 2_048 };
const cut = cutUpdate(whole, { ...facts, box: coordinator.box.publicKey, signer: gateway.signer });
const reader = { secretKeys: [coordinator.box], admit: () => {} };
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "";
  } catch (thrown) {
    return (thrown as { code: string }).code;
  }
};

describe("an update in parts", () => {
  it("fits the broker's payload and comes back whole, whatever the order", () => {
    expect(cut.of).toBeGreaterThan(2);
    const parts = Array.from({ length: cut.of }, (_, n) => cut.part(n)).reverse();
    for (const part of parts) expect(part.length).toBeLessThanOrEqual(2_048);
    const pieces = parts.map((part) => decodePart(part, reader)).sort((a, b) => a.head.n - b.head.n);
    expect(pieces.every(({ head }) => head.update === cut.hash && head.size === whole.length)).toBe(true);
    const update = decodeUpdate(Buffer.concat(pieces.map(({ piece }) => piece)));
    expect(update.header).toEqual(updateOf("gw-1", body).header);
    expect(Buffer.compare(update.body, body)).toBe(0);
  });

  it("is opened by the coordinator alone", () => {
    const stranger = ephemeralKeyRing();
    expect(codeOf(() => decodePart(cut.part(0), { ...reader, secretKeys: [stranger.box] }))).toBe("UPDATE_INVALID");
  });

  it("is refused wherever a bit is changed", () => {
    const part = cut.part(1);
    for (let at = 0; at < part.length; at += 7) {
      const changed = Uint8Array.from(part);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      expect(
        codeOf(() => decodePart(changed, reader)),
        `byte ${at}`,
      ).toMatch(/^UPDATE_(INVALID|UNTRUSTED)$/);
    }
  });

  it("is refused when it is cut off", () => {
    const part = cut.part(0);
    for (const length of [0, 1, 20, 300, part.length - 1])
      expect(codeOf(() => decodePart(part.subarray(0, length), reader))).toBe("UPDATE_INVALID");
  });

  it("another gateway cannot sign a box that it saw as its own", () => {
    const thief = ephemeralKeyRing();
    const seen = decodeCbor(cut.part(0), { maxDepth: 1, maxItems: 32 }) as Record<string, Uint8Array>;
    const head = decodeCbor(seen.head as Uint8Array, { maxDepth: 1, maxItems: 32 }) as object;
    const own = encodeCbor({ ...head, gateway: "gw-2", signer: thief.signer.publicKey });
    const covered = Buffer.concat([
      hash("sha256", own, "buffer"),
      seen.ephemeral,
      seen.nonce,
      seen.box,
    ] as Uint8Array[]);
    const signature = thief.signer.sign(preAuthEncoding("application/vnd.tidegate.update.v1+cbor", covered));
    const stolen = encodeCbor({ ...seen, head: own, signature });
    expect(() => decodePart(stolen, reader)).toThrow("its box belongs to another head");
  });

  it("numbers that are none do not pass its header", () => {
    const update = updateOf("gw-1", body, { metrics: { loss: Number.NaN } });
    expect(codeOf(() => decodeUpdate(encodeUpdate(update)))).toBe("UPDATE_INVALID");
    expect(codeOf(() => decodeUpdate(encodeUpdate(updateOf("gw-1", body, { weight: 0 }))))).toBe("UPDATE_INVALID");
  });
});

describe("the document of a round", () => {
  it("is read as it was written", () => expect(parseRound(JSON.parse(JSON.stringify(roundOf())))).toEqual(roundOf()));

  it.each([
    ["a field of another release", { colour: "green" }],
    ["no training", { training: undefined }],
    ["a target below the minimum", { quorum: { min: 5, target: 3, overSelection: 1 } }],
    ["a box key that is cut off", { box: "AAAA" }],
    ["a share above all", { fraction: 1.5 }],
    ["an epoch that no coordinator to come could take the lead from", { epoch: 2 ** 40 }],
  ])("is refused with %s", (_, changed) => {
    expect(codeOf(() => parseRound({ ...roundOf(), ...changed }))).toBe("ROUND_INVALID");
  });
});

describe("a receipt", () => {
  const receipt = { version: 9, model: "m", round: 5, update: cut.hash, status: "partial", missing: [1, 2] } as const;
  const reading = { fleet: "demo", gateway: "gw-1", trusted: [coordinator.signer.publicKey] };
  const text = Buffer.from(signReceipt("demo", "gw-1", { ...receipt, missing: [1, 2] }, coordinator.signer));

  it("says what is missing", () => expect(openReceipt(text, reading)).toMatchObject(receipt));

  it("of another coordinator, or for another gateway, counts nothing", () => {
    const stranger = { ...reading, trusted: [gateway.signer.publicKey] };
    expect(codeOf(() => openReceipt(text, stranger))).toBe("SIGNATURE_MISSING");
    expect(codeOf(() => openReceipt(text, { ...reading, gateway: "gw-2" }))).toBe("SIGNATURE_MISSING");
  });
});

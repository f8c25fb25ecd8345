import type { RoundDocument } from "../../src/federated/round-document.ts";
import type { Update } from "../../src/federated/update-header.ts";

/** A round of a model of four numbers, as it stands in a document; tests change what they are about. */
export const roundOf = (changed: Partial<RoundDocument> = {}): RoundDocument => ({
  kind: "round",
  audience: "demo",
  version: 7,
  issuedAt: "2026-11-25T01:00:00.000Z",
  subject: "mote-anomaly",
  epoch: 3,
  round: 5,
  state: "open",
  phase: "submit",
  mode: "weights",
  base: { version: 5, hash: "a".repeat(64), length: 4, sources: [], tensors: {} },
  training: { epochs: 1, batch: 32, learningRate: 0.1, optimizer: { kind: "sgd" }, mu: 0, clip: 1, seed: 1 },
  codec: {
    codec: "plain",
    support: "dense",
    clip: 8,
    scale: 2 ** 20,
    bits: 32,
    modulus: 0,
    weight: "uniform",
    maxWeight: 1,
    noise: 0,
  },
  quorum: { min: 2, target: 3, overSelection: 1 },
  fraction: 1,
  deadlineMs: 60_000,
  box: Buffer.alloc(32, 9).toString("base64"),
  ...changed,
});

/** An update that fits `roundOf()`. */
export const updateOf = (gateway: string, body: Uint8Array, changed: Partial<Update["header"]> = {}): Update => ({
  header: {
    v: 1,
    fleet: "demo",
    gateway,
    model: "mote-anomaly",
    round: 5,
    base: "a".repeat(64),
    mode: "weights",
    codec: "plain",
    length: 4,
    weight: 1,
    metrics: {},
    ...changed,
  },
  body,
});

import { afterEach, describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { mismatchOf, periodOf } from "../../../src/federated/client/card-match.ts";
import { ModelRounds, type ModelRoundsPort, type RoundStanding } from "../../../src/federated/client/model-rounds.ts";
import { noRounds, type RoundState } from "../../../src/federated/client/round-state.ts";
import type { RoundDocument } from "../../../src/federated/round-document.ts";
import { drawOf } from "../../../src/federated/selection.ts";
import { decodePart, type UpdatePart } from "../../../src/federated/update-parts.ts";
import type { UpdateReceipt } from "../../../src/federated/update-receipt.ts";
import { isWithin } from "../../../src/gateway/fleet-learning.ts";
import { roundOf } from "../../support/rounds.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const keys = ephemeralKeyRing();
const box = Buffer.from(keys.box.publicKey).toString("base64");
const until = (holds: () => boolean) => expect.poll(holds, { timeout: 5_000, interval: 5 }).toBe(true);

/** A gateway's rounds with a coordinator in memory: `answer` says what a part is told. */
function world(differing: Partial<ModelRoundsPort> = {}, saved: RoundState = noRounds) {
  const bytes = new Uint8Array(9_000).map((_, i) => i);
  const seen = {
    parts: [] as number[],
    standings: [] as RoundStanding[],
    states: [saved] as RoundState[],
    trainings: 0,
    answer: (_part: UpdatePart): Pick<UpdateReceipt, "status" | "missing"> | null => null,
  };
  const port: ModelRoundsPort = {
    fleet: "demo",
    gateway: "gw-1",
    maxPayload: 4_096,
    signer: keys.signer,
    random: () => 0,
    log: silentLog,
    receiptMs: { first: 25, most: 50 },
    publish: async (model, round, payload) => {
      const part = decodePart(payload, { secretKeys: [keys.box], admit: () => {} });
      seen.parts.push(part.head.n);
      const answer = seen.answer(part);
      const receipt = { version: 1, model, round, update: part.head.update, ...answer };
      if (answer) setImmediate(() => rounds.receive(Buffer.from(JSON.stringify(receipt))));
    },
    load: async () => seen.states.at(-1) ?? null,
    save: async (state) => void seen.states.push(state),
    read: async () => bytes,
    mismatch: async () => null,
    base: async () => {},
    train: async () => {
      seen.trainings++;
      const { hash } = await import("node:crypto");
      return { update: hash("sha256", bytes, "hex"), file: "f", left: null, cursors: {} };
    },
    openReceipt: (payload) => JSON.parse(Buffer.from(payload).toString()) as UpdateReceipt,
    tell: (standing) => void seen.standings.push(standing),
    ...differing,
  };
  const rounds = new ModelRounds("mote-anomaly", port);
  stops.push(() => rounds.stop());
  return { rounds, seen, state: () => seen.states.at(-1), last: () => seen.standings.at(-1) };
}
const round = (changed: Partial<RoundDocument> = {}) => roundOf({ box, ...changed });
const isLast = ({ head }: UpdatePart) => head.n === head.of - 1;

describe("a gateway's part in a round", () => {
  it("is one update, sent in parts and durable before the first of them; the same document again changes nothing", async () => {
    const { rounds, seen, state, last } = world();
    let pendingAtFirst: unknown;
    seen.answer = (part) => {
      pendingAtFirst ??= state()?.pending?.file;
      return isLast(part) ? { status: "accepted" } : null;
    };
    await rounds.start();
    await rounds.take(round());
    await until(() => last()?.state === "accepted");
    expect(pendingAtFirst).toBe("f");
    expect(seen.parts).toEqual([0, 1, 2]);
    await rounds.take(round());
    await rounds.take(round({ version: 8, state: "closed" }));
    await new Promise((done) => setTimeout(done, 60));
    expect([seen.trainings, seen.parts.length]).toEqual([1, 3]);
    expect(last()?.state).toBe("accepted");
    expect(state()).toMatchObject({ pending: null, done: `5/${"a".repeat(64)}`, epoch: 3 });
  });

  it("sends what is missing, asks by its last part where no word comes, and takes a duplicate for accepted", async () => {
    const { rounds, seen, last } = world();
    let messages = 0;
    seen.answer = (part) => {
      messages++;
      if (messages <= 3 || !isLast(part)) return messages === 6 ? { status: "duplicate" } : null;
      return messages === 4 ? { status: "partial", missing: [0, 1] } : null;
    };
    await rounds.start();
    await rounds.take(round());
    await until(() => last()?.state === "duplicate");
    expect(seen.parts).toEqual([0, 1, 2, 2, 0, 1]);
  });

  it("of an earlier life is sent again as it was, and not trained again", async () => {
    const { hash } = await import("node:crypto");
    const update = hash(
      "sha256",
      new Uint8Array(9_000).map((_, i) => i),
      "hex",
    );
    const key = `5/${"a".repeat(64)}`;
    const pending = { round: 5, key, update, file: "f", box, left: null, cursors: {} };
    const { rounds, seen, state, last } = world({}, { ...noRounds, epoch: 3, pending });
    seen.answer = (part) => (isLast(part) ? { status: "stale" } : null);
    await rounds.start();
    await new Promise((done) => setTimeout(done, 50));
    // Without a document it is not known which key opens the parts.
    expect(seen.parts).toEqual([]);
    await rounds.take(round());
    await until(() => last()?.state === "stale");
    expect([seen.trainings, state()?.done]).toEqual([0, key]);
  });

  it("is refused to a coordinator of an older epoch, in every later life, too", async () => {
    const { rounds, seen, last } = world({}, { ...noRounds, epoch: 9 });
    await rounds.start();
    await rounds.take(round());
    expect(last()).toMatchObject({ state: "refused", reason: expect.stringMatching(/epoch 3, the fleet has had 9/) });
    expect(seen.trainings).toBe(0);
    await rounds.take(round({ epoch: 10 }));
    expect(seen.states.map(({ epoch }) => epoch)).toContain(10);
  });

  it("is declined with a reason: readings that do not match, a phase or a codec that it does not know, too little data", async () => {
    const reasons: Partial<ModelRoundsPort>[] = [
      { mismatch: async () => "level is in ft" },
      {
        train: async () => {
          throw new TidegateError("CODEC_REFUSED", { reason: "codec: brotli is not known" });
        },
      },
    ];
    for (const differing of reasons) {
      const { rounds, last, state } = world(differing);
      await rounds.start();
      await rounds.take(round());
      await until(() => last()?.state === "declined");
      expect(last()?.reason).toMatch(/in ft|brotli is not known/);
      expect(state()?.pending).toBeNull();
    }
    const { rounds, last } = world();
    await rounds.start();
    await rounds.take(round({ phase: "unmask" }));
    await until(() => last()?.state === "declined");
  });

  it("is drawn by what nobody chose", async () => {
    const { rounds, last, seen } = world();
    await rounds.start();
    await rounds.take(round({ fraction: drawOf("gw-1", "a".repeat(64), 5) }));
    await until(() => last()?.state === "not-selected");
    await rounds.take(round({ version: 8, fraction: 1, round: 6 }));
    await until(() => seen.trainings === 1);
  });

  it("ends when the round is over before it is trained", async () => {
    let aborted = false;
    const { rounds, last } = world({
      train: (_round, _state, _tell, signal) =>
        new Promise((resolve) => {
          signal.addEventListener("abort", () => {
            aborted = true;
            resolve(null);
          });
        }),
    });
    await rounds.start();
    await rounds.take(round());
    await until(() => last()?.state === "waiting");
    await new Promise((done) => setTimeout(done, 20));
    await rounds.take(round({ version: 8, state: "closed" }));
    await until(() => aborted);
  });

  it("forgets at an erasure what was made of readings, and nothing of what it has seen of the fleet", async () => {
    const { rounds, seen, state } = world();
    await rounds.start();
    await rounds.take(round());
    await until(() => seen.parts.length > 0);
    await rounds.erased();
    expect(state()).toMatchObject({ pending: null, residual: null, epoch: 3, done: `5/${"a".repeat(64)}` });
    const sent = seen.parts.length;
    await new Promise((done) => setTimeout(done, 120));
    expect(seen.parts.length).toBeLessThanOrEqual(sent + 3);
    expect(seen.trainings).toBe(1);
  });
});

it("readings are what a card takes, or it is said why not", () => {
  const card = { name: "m", fields: [{ name: "t", unit: "°C" }, { name: "x" }], period: 1_000 };
  const readings = (fields: [string, string | undefined][], period: number | null) =>
    mismatchOf(card, { stream: "env", fields: new Map(fields), period });
  expect(
    readings(
      [
        ["t", "°C"],
        ["x", "m"],
      ],
      1_100,
    ),
  ).toBeNull();
  expect(
    readings(
      [
        ["t", "°F"],
        ["x", undefined],
      ],
      1_000,
    ),
  ).toMatch(/t in °F; m takes °C/);
  expect(
    readings(
      [
        ["t", undefined],
        ["x", undefined],
      ],
      1_000,
    ),
  ).toMatch(/does not say the unit of t/);
  expect(readings([["t", "°C"]], 1_000)).toMatch(/no field x/);
  expect(
    readings(
      [
        ["t", "°C"],
        ["x", undefined],
      ],
      5_000,
    ),
  ).toMatch(/5000 ms apart; m takes them 1000/);
  expect(
    readings(
      [
        ["t", "°C"],
        ["x", undefined],
      ],
      null,
    ),
  ).toMatch(/no readings/);
  expect(periodOf([0, 1, 0, 1, 0], [0, 500, 1_000, 1_500, 2_000])).toBe(1_000);
});

it("hours may lie over midnight", () => {
  const at = (hour: number, minute = 0) => new Date(2026, 0, 31, hour, minute);
  expect([at(21, 59), at(22), at(3), at(6)].map((time) => isWithin("22:00-06:00", time))).toEqual([
    false,
    true,
    true,
    false,
  ]);
  expect([at(8), at(12), at(17)].map((time) => isWithin("09:00-17:00", time))).toEqual([false, true, false]);
});

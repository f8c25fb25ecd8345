import { afterAll, beforeAll, expect, it } from "vitest";
import type { RoundDocument } from "../../src/federated/round-document.ts";
import { encodeBody } from "../../src/federated/update-body.ts";
import type { Update } from "../../src/federated/update-header.ts";
import { updateSpace } from "../../src/federated/update-space.ts";
import { bundleOf, CoordinatorProcess } from "../support/coordinator-process.ts";
import { until } from "../support/links.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { TestGateway } from "../support/test-gateway.ts";

const model = "mote-anomaly";
let broker: Mosquitto;
let coordinator: CoordinatorProcess;
const gateways: TestGateway[] = [];
let names = 0;

/** A new member; it takes part when it is told to. */
async function member(isEnrolled = true): Promise<{ gateway: TestGateway; round: RoundDocument }> {
  const trusted = [coordinator.publicKey];
  const gateway = new TestGateway({ id: `gw-${++names}`, url: broker.url, model, trusted, isPassive: true });
  gateways.push(gateway);
  const key = Buffer.from(gateway.keys.signer.publicKey).toString("base64");
  if (isEnrolled) await coordinator.ask("fleet.enroll", { gateway: gateway.id, key });
  await gateway.start();
  await until(() => gateway.round?.round === 1, "round 1");
  return { gateway, round: gateway.round as RoundDocument };
}

/** What the coordinator says to an update that was changed. */
async function answerTo(
  change: (update: Update, round: RoundDocument) => Update,
  about: { gateway: TestGateway; round: RoundDocument },
) {
  const { gateway, round } = about;
  gateway.send(change(gateway.updateFor(round), round), round);
  await until(() => gateway.receipts.length > 0, "a receipt");
  return gateway.receipts[0];
}

const accepted = async (): Promise<number> => (await coordinator.status()).models[0]?.accepted ?? -1;

const bodyOf = (round: RoundDocument, value: (i: number) => number): Uint8Array => {
  const space = updateSpace({ header: round.codec, length: round.base.length });
  return encodeBody(
    Float32Array.from({ length: round.base.length }, (_, i) => value(i)),
    space,
    () => 0.5,
  );
};

describeReal("a coordinator that is sent what it must not take", () => {
  beforeAll(async () => {
    broker = await startMosquitto();
    coordinator = new CoordinatorProcess({
      broker: broker.url,
      models: { [model]: { bundle: bundleOf(model), rounds: 1, quorum: { min: 50, target: 50 } } },
    });
    await coordinator.start();
    await coordinator.until(({ models }) => models[0]?.state === "open", "has a round open");
  });
  afterAll(async () => {
    for (const gateway of gateways) await gateway.stop();
    await coordinator.remove();
    await broker.stop();
  });

  it.each<[string, string, (update: Update, round: RoundDocument) => Update]>([
    ["of another base", "other-base", ({ header, body }) => ({ header: { ...header, base: "b".repeat(64) }, body })],
    ["of another mode", "other-codec", ({ header, body }) => ({ header: { ...header, mode: "gradients" }, body })],
    ["in another codec", "other-codec", ({ header, body }) => ({ header: { ...header, codec: "sign" }, body })],
    ["that claims to weigh more", "other-codec", ({ header, body }) => ({ header: { ...header, weight: 64 }, body })],
    ["of a wrong shape", "shape", ({ header, body }) => ({ header: { ...header, length: header.length - 1 }, body })],
    ["whose body is cut off", "malformed", ({ header, body }) => ({ header, body: body.subarray(0, body.length - 9) })],
    ["with more than a round can have", "too-large", ({ header }) => ({ header, body: new Uint8Array(80_000) })],
    [
      "with NaN in it",
      "not-finite",
      ({ header, body }) => ({ header: { ...header, metrics: { loss: Number.NaN } }, body }),
    ],
    [
      "of another gateway inside",
      "malformed",
      ({ header, body }) => ({ header: { ...header, gateway: "gw-x" }, body }),
    ],
  ])("refuses an update %s", async (_, reason, change) => {
    const before = await accepted();
    expect(await answerTo(change, await member())).toMatchObject({ status: "rejected", reason });
    expect(await accepted()).toBe(before);
  });

  it("refuses an update that is a thousand times as long as those of the others", async () => {
    for (let i = 0; i < 6; i++)
      expect(await answerTo((update) => update, await member())).toMatchObject({ status: "accepted" });
    const long = (update: Update, round: RoundDocument) => ({
      ...update,
      body: bodyOf(round, (i) => (i % 2 ? 7.9 : -7.9)),
    });
    expect(await answerTo(long, await member())).toMatchObject({ status: "rejected", reason: "norm" });
    expect(await accepted()).toBe(6);
  });

  it("takes nothing of a part in which a bit was flipped, and the whole when it comes right", async () => {
    const { gateway, round } = await member();
    const before = await coordinator.status();
    const cut = gateway.cut(gateway.updateFor(round), round);
    for (let n = 0; n < cut.of; n++) {
      const part = Uint8Array.from(cut.part(n));
      part[part.length >> 1] = (part[part.length >> 1] ?? 0) ^ 1;
      gateway.sendPart(part, round);
    }
    const { unopened } = before.updates;
    await coordinator.until(({ updates }) => updates.unopened === unopened + cut.of, "has refused every part");
    expect(gateway.receipts).toEqual([]);
    for (let n = 0; n < cut.of; n++) gateway.sendPart(cut.part(n), round);
    await until(() => gateway.receipts.length > 0, "a receipt");
    expect(gateway.receipts[0]).toMatchObject({ status: "accepted" });
  });

  it("answers a replay by duplicate, and refuses a second update of the same gateway", async () => {
    const about = await member();
    const { gateway, round } = about;
    expect(await answerTo((update) => update, about)).toMatchObject({ status: "accepted" });
    const before = await accepted();
    const cut = gateway.cut(gateway.updateFor(round), round);
    gateway.sendPart(cut.part(0), round);
    await until(() => gateway.receipts.length > 1, "a receipt for the replay");
    expect(gateway.receipts[1]).toMatchObject({ status: "duplicate" });
    gateway.send({ ...gateway.updateFor(round), body: bodyOf(round, () => 0.001) }, round);
    await until(() => gateway.receipts.length > 2, "a receipt for another update");
    expect(gateway.receipts[2]).toMatchObject({ status: "rejected", reason: "other-update" });
    expect(await accepted()).toBe(before);
  });

  it("gives a stranger no answer", async () => {
    const { gateway, round } = await member(false);
    const before = (await coordinator.status()).updates.unopened;
    gateway.send(gateway.updateFor(round), round);
    await coordinator.until(({ updates }) => updates.unopened > before, "has refused a stranger");
    expect(gateway.receipts).toEqual([]);
  });

  it("refuses a removed gateway at once, and says so", async () => {
    const about = await member();
    await coordinator.ask("fleet.remove", { gateway: about.gateway.id });
    expect(await answerTo((update) => update, about)).toMatchObject({ status: "rejected", reason: "removed" });
  });

  it("refuses a round that never was, and one under another's topic", async () => {
    const { gateway, round } = await member();
    gateway.send(
      { ...gateway.updateFor(round), header: { ...gateway.updateFor(round).header, round: 9 } },
      { ...round, round: 9 },
    );
    await until(() => gateway.receipts.length > 0, "a receipt");
    expect(gateway.receipts[0]).toMatchObject({ status: "rejected", reason: "other-round", round: 9 });
    const before = (await coordinator.status()).updates.unopened;
    gateway.sendPart(gateway.cut(gateway.updateFor(round), round).part(0), round, 2);
    await coordinator.until(({ updates }) => updates.unopened > before, "has refused a part on a wrong topic");
  });
});

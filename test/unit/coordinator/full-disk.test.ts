import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Coordinator } from "../../../src/coordinator/coordinator.ts";
import { fleetSettingsSchema } from "../../../src/coordinator/fleet-settings.ts";
import { SqliteCoordinatorStore } from "../../../src/coordinator/sqlite-store.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { openDocument } from "../../../src/crypto/signed-document.ts";
import { parseRound, type RoundDocument } from "../../../src/federated/round-document.ts";
import { encodeBody } from "../../../src/federated/update-body.ts";
import { encodeUpdate } from "../../../src/federated/update-header.ts";
import { cutUpdate } from "../../../src/federated/update-parts.ts";
import { openReceipt, type UpdateReceipt } from "../../../src/federated/update-receipt.ts";
import { updateSpace } from "../../../src/federated/update-space.ts";
import { openBundle } from "../../../src/inference/bundle.ts";
import { fleetTopics } from "../../../src/wire/topics.ts";

const model = "mote-anomaly";
const dir = mkdtempSync(join(tmpdir(), "tidegate-full-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it("a coordinator whose disk is full tells gateways to keep what they have, and takes it once there is room", async () => {
  const bundle = await openBundle(resolve("models", model));
  const own = { bundle: bundle.dir, rounds: 1, quorum: { min: 2, target: 2 } };
  const settings = fleetSettingsSchema.parse({ broker: "mqtt://x", fleet: "demo", models: { [model]: own } });
  const [keys, gateway] = [ephemeralKeyRing(), ephemeralKeyRing()];
  const store = new SqliteCoordinatorStore(join(dir, "coordinator.db"));
  const topics = fleetTopics("demo");
  const receipts: UpdateReceipt[] = [];
  let round: RoundDocument | undefined;
  const trusted = [keys.signer.publicKey];
  const link = {
    state: { isOnline: true },
    publish: async (topic: string, payload: string | Uint8Array) => {
      const bytes = Buffer.from(payload);
      if (topic === topics.round(model))
        round = parseRound(openDocument(bytes, { kind: "round", audience: "demo", trusted }).document);
      else if (topic.endsWith(`/receipts/update-${model}`))
        receipts.push(openReceipt(bytes, { fleet: "demo", gateway: "gw-1", trusted }));
      else if (topic.includes("/coordinator/")) coordinator.receive(topic, bytes, false);
      return { reason: 0 };
    },
  };
  const bundles = new Map([[model, bundle]]);
  const coordinator: Coordinator = new Coordinator({
    settings,
    bundles,
    store,
    link,
    keys,
    clock: new FakeClock(),
    log: silentLog,
  });
  await coordinator.start();
  await expect.poll(() => round?.state).toBe("open");
  const open = round as unknown as RoundDocument;
  await coordinator.run(() => coordinator.enrolments.enrol("gw-1", gateway.signer.publicKey, 1));

  const space = updateSpace({ header: open.codec, length: open.base.length });
  const body = encodeBody(new Float32Array(open.base.length).fill(0.01), space, () => 0.5);
  const about = { fleet: "demo", gateway: "gw-1", model, round: 1 };
  const rest = { base: open.base.hash, mode: open.mode, codec: open.codec.codec, length: open.base.length, weight: 1 };
  const update = encodeUpdate({ header: { v: 1, ...about, ...rest, metrics: {} }, body });
  const box = new Uint8Array(Buffer.from(open.box, "base64"));
  const cut = cutUpdate(update, { ...about, maxPayload: 100_000, box, signer: gateway.signer });
  const send = () => coordinator.receive(topics.gateway("gw-1").update(model, 1), cut.part(0), false);

  store.limit(64 * 1024);
  // What is free already is filled up.
  const fill = { model, cohort: 1, round: 1, update: "f".repeat(64), weight: 1, norm: 1, metrics: {}, bytes: 1 };
  for (let i = 0, isFull = false; !isFull; i++) {
    const filler = { ...fill, gateway: `filler-${i}`, body: new Uint8Array(900) };
    isFull = await store.accept(1, filler).then(
      () => i > 500,
      () => true,
    );
  }
  const before = (await store.round(model))?.accepted;
  send();
  await expect.poll(() => receipts.length).toBe(1);
  expect(receipts[0]).toMatchObject({ status: "partial", reason: "busy", missing: [], update: cut.hash });
  expect((await store.round(model))?.accepted).toBe(before);
  expect(await store.accepted(model, "gw-1", 1)).toBeNull();

  store.limit(2 ** 22);
  send();
  await expect.poll(() => receipts.length).toBe(2);
  expect(receipts[1]).toMatchObject({ status: "accepted", update: cut.hash });
  await coordinator.stop();
});

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { findKey } from "../../src/crypto/key-ring.ts";
import { openDocument } from "../../src/crypto/signed-document.ts";
import { signerOf } from "../../src/crypto/signing.ts";
import type { SignedReceipt } from "../../src/gateway/erasures.ts";
import { daemonAt, openSite } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

type Line = { source: { mote: string }; fields: { humidity: number } };

describeReal("erasing beside a running daemon", () => {
  it("takes one source, gives a receipt, and goes on taking readings of all, of that source as of a new one", async () => {
    const { broker, sensors } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    const send = async (from: number, to: number) => {
      for (let i = from; i < to; i++)
        await sensors.raw(
          `motes/m${i % 4}/env`,
          JSON.stringify({ ts: 1.7e12 + i * 1_250, humidity: i, temperature: 21 }),
        );
    };
    const exported = async () => {
      const lines: Line[] = [];
      await daemon.ask("buffer.export", { stream: "env" }, (line) => lines.push(line as Line));
      return lines;
    };
    await send(0, 400);
    await expect.poll(async () => (await exported()).length, { timeout: 20_000 }).toBe(400);
    const training = join(daemon.dataDir, "training");
    mkdirSync(training, { recursive: true });
    writeFileSync(join(training, "mote-anomaly.checkpoint"), "made of readings");

    let isErased = false;
    const erasing = daemon.ask<SignedReceipt>("buffer.erase", { source: "m1" }).finally(() => {
      isErased = true;
    });
    let sent = 400;
    for (; !isErased; sent += 4) await send(sent, sent + 4);
    const { receipt, envelope } = await erasing;
    expect(receipt.erased.readings).toBeGreaterThanOrEqual(100);
    expect(receipt).toMatchObject({ kind: "erase-receipt", audience: "test/gw-1", version: 1, by: ["source"] });
    const { key } = findKey({ dataDir: daemon.dataDir }, "signing");
    const trusted = [signerOf(key ?? new Uint8Array()).publicKey];
    const opened = openDocument(JSON.stringify(envelope), { kind: "erase-receipt", audience: "test/gw-1", trusted });
    expect(opened.document).toEqual(receipt);
    expect(existsSync(training)).toBe(false);

    // Nothing of it from before is left; what came of the others meanwhile is there; it goes on as a new source.
    await send(sent, sent + 40);
    const expectedOthers = ((sent + 40) / 4) * 3;
    const of = async (isIt: boolean) => (await exported()).filter(({ source }) => (source.mote === "m1") === isIt);
    await expect.poll(async () => (await of(false)).length, { timeout: 20_000 }).toBe(expectedOthers);
    const again = await of(true);
    expect(again.length).toBeGreaterThanOrEqual(10);
    expect(Math.min(...again.map(({ fields }) => fields.humidity))).toBeGreaterThanOrEqual(400);
    expect((await exported()).every(({ source }) => /^m\d$/.test(source.mote))).toBe(true);
    const entries = await daemon.ask<{ body: string }[]>("audit.list", { limit: 5 });
    expect(entries.map(({ body }) => JSON.parse(body))).toContainEqual(
      expect.objectContaining({ what: "erase", outcome: "done", by: ["site"] }),
    );

    // Killed and started again it is all the same, and it plays no window of what is gone.
    await daemon.kill();
    await daemon.start();
    expect((await of(false)).length).toBe(expectedOthers);
    expect(await of(true)).toEqual(again);
    expect((await daemon.stop()).code).toBe(0);
  }, 90_000);
});

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { GatewayTrust } from "../../../src/coordinator/gateway-trust.ts";
import { NdjsonOutput } from "../../../src/coordinator/ndjson-output.ts";
import { Sink } from "../../../src/coordinator/sink.ts";
import { FileSinkStore, type SinkStep } from "../../../src/coordinator/sink-store.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { type BatchFacts, encodeBatch, newToken } from "../../../src/wire/batch.ts";
import type { EraseNotice } from "../../../src/wire/erase-notice.ts";
import { openEraseReceipt } from "../../../src/wire/erase-receipt.ts";
import { isProven } from "../../../src/wire/receipt.ts";

const gateways = { "gw-1": ephemeralKeyRing(), "gw-2": ephemeralKeyRing() };
type Gateway = keyof typeof gateways;
const keys = ephemeralKeyRing();
const trusted = Object.fromEntries(
  Object.entries(gateways).map(([name, { signer }]) => [
    `demo/${name}`,
    [Buffer.from(signer.publicKey).toString("base64")],
  ]),
);
const token = newToken();

let dir: string;
const sinks: Sink[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-sink-erase-"));
});
afterEach(async () => {
  await close();
  rmSync(dir, { recursive: true, force: true });
});
const close = async () => {
  for (const sink of sinks.splice(0)) await sink.stop();
};

/** A store that fails where it is told to, as a disk that is full does. */
class FailingStore extends FileSinkStore {
  failsOn: (step: SinkStep) => boolean = () => false;
  override async commit(step: SinkStep): Promise<void> {
    if (this.failsOn(step)) throw new Error("no space left");
    await super.commit(step);
  }
}

async function open(maxFileBytes?: number) {
  const published: { topic: string; payload: string }[] = [];
  const link = {
    state: { isOnline: true },
    async publish(topic: string, payload: string) {
      published.push({ topic, payload });
    },
    async reconcile() {},
  };
  const store = new FailingStore(join(dir, "sink.log"));
  const output = new NdjsonOutput({ dir: join(dir, "out"), ...(maxFileBytes === undefined ? {} : { maxFileBytes }) });
  const trust = new GatewayTrust(trusted, false, silentLog);
  const about = { share: "never", clock: systemClock, log: silentLog } as const;
  const sink = new Sink({ link, output, store, trust, keys: [keys.box], signer: keys.signer, ...about });
  sinks.push(sink);
  await sink.start();
  const receipts = () => published.filter(({ topic }) => topic.includes("/receipts/"));
  /** Gives the sink a batch, and waits for the receipt. */
  const give = async (gateway: Gateway, payload: Uint8Array, what: "data" | "erase" = "data", stream = "env") => {
    const before = receipts().length;
    sink.receive(`tidegate/v1/demo/gateways/${gateway}/${what}/${stream}`, payload);
    await expect.poll(() => receipts().length, { timeout: 8_000, interval: 2 }).toBe(before + 1);
    return receipts().at(-1) ?? { topic: "", payload: "" };
  };
  return { sink, store, give, receipts };
}

const motes = ["m0", "m1", "m2", "m3"];
type Change = Partial<BatchFacts>;

/** Raw readings of four motes in turn. */
function readings(gateway: Gateway, numbers: readonly number[], change: Change = {}): Promise<Uint8Array> {
  const lines = numbers.map((n) => ({ id: `${n}`, stream: "env", source: { mote: motes[n % 4] }, ts: n * 1_000 }));
  return batch(gateway, numbers, lines, { lane: "raw", kind: "raw", ...change });
}

function notice(gateway: Gateway, n: number, said: Partial<EraseNotice>, change: Change = {}): Promise<Uint8Array> {
  const line = { request: { all: true }, at: 1, upTo: { alarm: 0, rest: 0, raw: {} }, ...said };
  return batch(gateway, [n], [line], { lane: "erase", kind: "erase", ...change });
}

function batch(gateway: Gateway, numbers: readonly number[], lines: readonly unknown[], change: Change) {
  const facts = {
    ...{ fleet: "demo", gateway, incarnation: "i1", stream: "env", lane: "rest", kind: "result" },
    ...{ numbers, after: (numbers[0] ?? 0) - 1, floor: 0, at: 1 },
    ...change,
  } as BatchFacts;
  const bytes = lines.map((line) => new Uint8Array(Buffer.from(JSON.stringify(line))));
  return encodeBatch(facts, bytes, keys.box.publicKey, gateways[gateway].signer, token);
}

type Line = { gateway: Gateway; n: number; incarnation: string; source: { mote: string } };
function written(): Line[] {
  const names = readdirSync(join(dir, "out")).sort();
  const text = names.map((name) => readFileSync(join(dir, "out", name), "utf8")).join("");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const of = (gateway: Gateway, mote: string) =>
  written()
    .filter((line) => line.gateway === gateway && line.source.mote === mote)
    .map(({ n }) => n);
const m1 = (to: number) => ({ request: { source: "m1" }, upTo: { alarm: 0, rest: 0, raw: { env: to } } });

describe("a sink that is told of an erasure", () => {
  it("takes the lines of that gateway's source out of every file, and says so, signed", async () => {
    const { give } = await open(600);
    for (const from of [1, 9, 17]) await give("gw-1", await readings("gw-1", range(from, from + 7)));
    await give("gw-2", await readings("gw-2", range(1, 8)));
    const before = written().length;
    const { topic, payload } = await give("gw-1", await notice("gw-1", 3, m1(24)), "erase");
    expect([of("gw-1", "m1"), of("gw-2", "m1"), written().length]).toEqual([[], [1, 5], before - 6]);
    expect(readdirSync(join(dir, "out")).length).toBeGreaterThan(3);
    expect(topic).toBe("tidegate/v1/demo/gateways/gw-1/receipts/erase");
    const receipt = openEraseReceipt(Buffer.from(payload), "demo/gw-1", keys.signer.publicKey);
    expect(receipt).toMatchObject({ version: 3, first: 3, lines: 6, subject: "sink" });
    expect(isProven(receipt.receipt, token)).toBe(true);
    expect(() => openEraseReceipt(Buffer.from(payload), "demo/gw-2", null)).toThrow();
    expect(() => openEraseReceipt(Buffer.from(payload), "demo/gw-1", gateways["gw-1"].signer.publicKey)).toThrow();
    // It is told again: nothing is done twice, and the receipt says the same.
    const again = await give("gw-1", await notice("gw-1", 3, m1(24)), "erase");
    expect(openEraseReceipt(Buffer.from(again.payload), "demo/gw-1", null).lines).toBe(6);
  });

  it("goes on in the same files with what comes later, and takes nothing that was sealed before, whenever it comes", async () => {
    const first = await open();
    await first.give("gw-1", await readings("gw-1", range(1, 8)));
    const late = await readings("gw-1", range(9, 16));
    await first.give("gw-1", await notice("gw-1", 1, m1(16)), "erase");
    await first.give("gw-1", await readings("gw-1", range(17, 24), { after: 16 }));
    await close();
    const second = await open();
    await second.give("gw-1", late);
    // A life that nobody has seen is a new one.
    await second.give("gw-1", await readings("gw-1", range(1, 4), { incarnation: "i2" }));
    expect(of("gw-1", "m1")).toEqual([17, 21, 1]);
    expect(of("gw-1", "m2")).toEqual([2, 6, 18, 22, 10, 14, 2]);
    expect(readdirSync(join(dir, "out"))).toEqual(["env.raw.000001.ndjson"]);
  });

  it("erases what lives before wrote, and spares those after it", async () => {
    const { give } = await open();
    await give("gw-1", await readings("gw-1", range(1, 8), { incarnation: "i0" }));
    await give("gw-1", await readings("gw-1", range(1, 8)));
    await give("gw-1", await readings("gw-1", range(1, 8), { incarnation: "i2" }));
    await give("gw-1", await notice("gw-1", 1, m1(4)), "erase");
    const left = written().filter(({ source }) => source.mote === "m1");
    expect(left.map(({ incarnation, n }) => `${incarnation} ${n}`)).toEqual(["i1 5", "i2 1", "i2 5"]);
  });

  it("takes a stream, what is older than a time, or all; results in their lanes", async () => {
    const { give } = await open();
    await give("gw-1", await readings("gw-1", range(1, 8)));
    const result = (n: number) => ({ id: `r${n}`, stream: "env", source: { mote: motes[n % 4] }, ts: n * 1_000 });
    await give("gw-1", await batch("gw-1", range(1, 8), range(1, 8).map(result), {}));
    const upTo = { alarm: 0, rest: 6, raw: { env: 8 } };
    await give("gw-1", await notice("gw-1", 1, { request: { stream: "env", before: 4_000 }, upTo }), "erase");
    expect(written().map(({ n }) => n)).toEqual([4, 5, 6, 7, 8, 4, 5, 6, 7, 8]);
    await give(
      "gw-1",
      await notice("gw-1", 2, { request: { stream: "other" }, upTo }, { stream: "other" }),
      "erase",
      "other",
    );
    expect(written()).toHaveLength(10);
    await give("gw-1", await notice("gw-1", 3, { request: { all: true }, upTo }), "erase");
    expect(written().map(({ n }) => n)).toEqual([7, 8]);
  });

  it("leaves each file old or new when the store fails in between, and loses no line", async () => {
    const first = await open();
    await first.give("gw-1", await readings("gw-1", range(1, 8)));
    // The file has been replaced, the record of it has not: as after a crash there.
    first.store.failsOn = ({ files = {} }) => Object.keys(files).length > 0;
    first.sink.receive("tidegate/v1/demo/gateways/gw-1/erase/env", await notice("gw-1", 1, m1(8)));
    await expect.poll(() => first.sink.state.failures, { timeout: 8_000 }).toBe(1);
    expect(first.receipts()).toHaveLength(1);
    await close();
    writeFileSync(join(dir, "out", "env.raw.000001.ndjson.erasing"), "a draft of one that was cut off");
    const second = await open();
    await second.give("gw-1", await readings("gw-1", range(9, 12)));
    await second.give("gw-1", await notice("gw-1", 1, m1(8)), "erase");
    await second.give("gw-1", await readings("gw-1", range(13, 16)));
    const numbers = written().map(({ n }) => n);
    expect(numbers.toSorted((a, b) => a - b)).toEqual(range(1, 16).filter((n) => n !== 1 && n !== 5));
    expect(readdirSync(join(dir, "out")).filter((name) => name.endsWith(".erasing"))).toEqual([]);
  });

  it("takes no notice that is not whole, or came on another's topic, and erases nothing then", async () => {
    const { give, sink } = await open();
    await give("gw-1", await readings("gw-1", range(1, 8)));
    const topic = (gateway: string, what: string) => `tidegate/v1/demo/gateways/${gateway}/${what}/env`;
    sink.receive(topic("gw-1", "erase"), await notice("gw-2", 1, m1(8)));
    sink.receive(topic("gw-1", "data"), await notice("gw-1", 1, m1(8)));
    for (const request of [{}, { all: true, stream: "env" }, { source: 7 }, { before: "now" }, { stream: "a/b" }])
      sink.receive(topic("gw-1", "erase"), await notice("gw-1", 1, { request } as never));
    sink.receive(topic("gw-1", "erase"), await notice("gw-1", 1, { upTo: undefined } as never));
    await expect.poll(() => sink.state.rejected, { timeout: 8_000 }).toBe(8);
    expect(written()).toHaveLength(8);
  });
});

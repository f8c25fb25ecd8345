import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { GatewayTrust } from "../../../src/coordinator/gateway-trust.ts";
import { NdjsonOutput } from "../../../src/coordinator/ndjson-output.ts";
import { Sink, type SinkOptions } from "../../../src/coordinator/sink.ts";
import { FileSinkStore } from "../../../src/coordinator/sink-store.ts";
import { ephemeralKeyRing } from "../../../src/crypto/key-ring.ts";
import { type BatchFacts, encodeBatch, newToken } from "../../../src/wire/batch.ts";
import { isProven, parseReceipt } from "../../../src/wire/receipt.ts";

const gateway = ephemeralKeyRing();
const keys = ephemeralKeyRing();
const trusted = { "demo/gw-1": [Buffer.from(gateway.signer.publicKey).toString("base64")] };
const token = newToken();
const topic = "tidegate/v1/demo/gateways/gw-1/data/env";

let dir: string;
let out: string;
const sinks: Sink[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-sink-"));
  out = join(dir, "out");
});
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function until(check: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 8_000;
  while (!check()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

class MemoryLink {
  state = { isOnline: true };
  readonly published: { topic: string; payload: string }[] = [];
  filters: string[] = [];
  async publish(to: string, payload: string): Promise<{ reason: number }> {
    this.published.push({ topic: to, payload });
    return { reason: 0 };
  }
  async reconcile(subscriptions: readonly { topic: string }[]): Promise<void> {
    this.filters = subscriptions.map((subscription) => subscription.topic);
  }
  get receipts() {
    return this.published.filter((message) => message.topic.endsWith("/receipts/data"));
  }
}

async function open(options: Partial<SinkOptions> = {}, maxFileBytes?: number) {
  const link = new MemoryLink();
  const output = new NdjsonOutput({ dir: out, ...(maxFileBytes === undefined ? {} : { maxFileBytes }) });
  const store = new FileSinkStore(join(dir, "sink.log"));
  const trust = new GatewayTrust(trusted, false, silentLog);
  const parts = {
    link,
    output,
    store,
    trust,
    keys: [keys.box],
    signer: keys.signer,
    share: "never",
    clock: systemClock,
  } as const;
  const sink = new Sink({ ...parts, log: silentLog, ...options });
  sinks.push(sink);
  await sink.start();
  return { sink, link, output, store };
}

function batchOf(numbers: readonly number[], change: Partial<BatchFacts> = {}, signer = gateway.signer) {
  const facts: BatchFacts = {
    ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", stream: "env", lane: "rest", kind: "result" },
    ...{ numbers, after: (numbers[0] ?? 0) - 1, floor: 1, at: Date.now() },
    ...change,
  };
  const lines = numbers.map(
    (n) => new Uint8Array(Buffer.from(JSON.stringify({ id: `r${n}`, stream: "env", value: n }))),
  );
  return encodeBatch(facts, lines, keys.box.publicKey, signer, token);
}

function linesIn(series = "env.result"): { n: number; [key: string]: unknown }[] {
  const names = readdirSync(out)
    .filter((name) => name.startsWith(series))
    .sort();
  const text = names.map((name) => readFileSync(join(out, name), "utf8")).join("");
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}
const numbersIn = () => linesIn().map(({ n }) => n);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe("the sink", () => {
  it("writes each line with where it comes from, and says that it has it", async () => {
    const { sink, link } = await open();
    sink.receive(topic, await batchOf([1, 2]));
    await until(() => link.receipts.length === 1, "the receipt");
    expect(linesIn()[0]).toEqual({
      ...{ fleet: "demo", gateway: "gw-1", kind: "result", lane: "rest", incarnation: "i1", n: 1 },
      ...{ id: "r1", stream: "env", value: 1 },
    });
    const [message] = link.receipts;
    expect(message?.topic).toBe("tidegate/v1/demo/gateways/gw-1/receipts/data");
    const receipt = parseReceipt(Buffer.from(message?.payload ?? ""));
    expect(receipt).toMatchObject({ incarnation: "i1", lane: "rest", stream: "env", upTo: 2 });
    expect(isProven(receipt, token)).toBe(true);
  });

  it("writes what comes twice once, and gives a receipt for it each time", async () => {
    const { sink, link } = await open();
    const batch = await batchOf(range(1, 5));
    sink.receive(topic, batch);
    sink.receive(topic, batch);
    sink.receive(topic, await batchOf(range(3, 8)));
    await until(() => link.receipts.length === 3, "three receipts");
    sink.receive(topic, batch);
    await until(() => link.receipts.length === 4, "a fourth");
    expect(numbersIn()).toEqual(range(1, 8));
  });

  it("remembers over a restart, and cuts off what was never confirmed", async () => {
    const first = await open();
    first.sink.receive(topic, await batchOf(range(1, 5)));
    await until(() => first.link.receipts.length === 1, "the receipt");
    await first.sink.stop();
    appendFileSync(join(out, "env.result.000001.ndjson"), '{"n":6,"half":');
    const second = await open();
    second.sink.receive(topic, await batchOf(range(1, 7)));
    await until(() => second.link.receipts.length === 1, "the receipt");
    expect(numbersIn()).toEqual(range(1, 7));
  });

  it("gives no receipt when the store fails, and writes the lines once when it works again", async () => {
    const store = new FileSinkStore(join(dir, "other.log"));
    let failures = 1;
    const failing = {
      load: () => store.load(),
      close: () => store.close(),
      commit: (step: Parameters<typeof store.commit>[0]) =>
        step.domains && failures-- > 0 ? Promise.reject(new Error("disk full")) : store.commit(step),
    };
    const { sink, link } = await open({ store: failing });
    sink.receive(topic, await batchOf(range(1, 50)));
    await until(() => sink.state.isFailing, "the failure");
    expect(link.receipts.length).toBe(0);
    sink.receive(topic, await batchOf(range(1, 3)));
    await until(() => link.receipts.length === 1, "the receipt");
    expect(numbersIn()).toEqual([1, 2, 3]);
    expect(sink.state.isFailing).toBe(false);
  });

  it("goes on in the next file when one is full, and never touches it again", async () => {
    const { sink, link } = await open({}, 400);
    for (let n = 1; n <= 20; n++) {
      sink.receive(topic, await batchOf([n]));
      await until(() => link.receipts.length === n, "the receipt");
    }
    await sink.stop();
    const names = readdirSync(out).sort();
    expect(names.length).toBeGreaterThan(3);
    rmSync(join(out, names[0] ?? ""));
    const again = await open({}, 400);
    for (let n = 21; n <= 25; n++) {
      again.sink.receive(topic, await batchOf([n]));
      await until(() => again.link.receipts.length === n - 20, "the receipt");
    }
    const found = numbersIn();
    expect(found).toEqual(range(found[0] ?? 0, 25));
  });

  it("leaves files alone that it knows nothing of", async () => {
    const first = await open();
    await first.sink.stop();
    writeFileSync(join(out, "env.result.000007.ndjson"), "somebody else's\n");
    const { sink, link } = await open();
    sink.receive(topic, await batchOf([1]));
    await until(() => link.receipts.length === 1, "the receipt");
    expect(readFileSync(join(out, "env.result.000007.ndjson"), "utf8")).toBe("somebody else's\n");
    expect(readdirSync(out).sort()).toEqual(["env.result.000007.ndjson", "env.result.000008.ndjson"]);
  });

  it("keeps kinds and streams apart", async () => {
    const { sink, link } = await open();
    sink.receive(topic, await batchOf([1]));
    sink.receive(topic, await batchOf([0, 1], { lane: "raw", kind: "raw", after: -1, floor: 0 }));
    sink.receive(topic, await batchOf([2], { kind: "aggregate" }));
    await until(() => link.receipts.length === 3, "the receipts");
    expect(readdirSync(out).sort()).toEqual([
      "env.aggregate.000001.ndjson",
      "env.raw.000001.ndjson",
      "env.result.000001.ndjson",
    ]);
  });

  it.each([
    ["a gateway nobody trusts", topic, () => batchOf([1], {}, ephemeralKeyRing().signer)],
    ["another gateway's topic", topic.replace("gw-1", "gw-2"), () => batchOf([1])],
    ["another stream's topic", topic.replace("env", "air"), () => batchOf([1])],
    ["an unknown gateway", topic.replace("gw-1", "gw-9"), () => batchOf([1], { gateway: "gw-9" })],
    ["garbage", topic, async () => new Uint8Array(50)],
    ["nothing", topic, async () => new Uint8Array(0)],
  ])("takes nothing from %s", async (_, to, make) => {
    const { sink, link } = await open();
    sink.receive(to, await make());
    await until(() => sink.state.rejected === 1, "it is rejected");
    sink.receive(topic, await batchOf([7]));
    await until(() => link.receipts.length === 1, "the next one");
    expect(numbersIn()).toEqual([7]);
  });

  it("trusts on first use only when told, and then one key for good", async () => {
    const other = ephemeralKeyRing().signer;
    const trust = () => ({ trust: new GatewayTrust(trusted, true, silentLog) });
    const first = await open(trust());
    const newcomer = topic.replace("gw-1", "gw-2");
    first.sink.receive(newcomer, await batchOf([1], { gateway: "gw-2" }, other));
    await until(() => first.link.receipts.length === 1, "the newcomer is taken");
    first.sink.receive(newcomer, await batchOf([2], { gateway: "gw-2" }));
    await until(() => first.sink.state.rejected === 1, "another key is not");
    await first.sink.stop();
    const second = await open(trust());
    second.sink.receive(newcomer, await batchOf([2], { gateway: "gw-2" }));
    second.sink.receive(topic, await batchOf([2], {}, other));
    await until(() => second.sink.state.rejected === 2, "nor after a restart, nor where a key was named");
  });

  it("leaves what is too much to be sent again", async () => {
    const { sink, link } = await open();
    const batch = await batchOf([1]);
    for (let i = 0; i < 2_000; i++) sink.receive(topic, batch);
    expect(sink.state.overflow).toBeGreaterThan(900);
    await until(() => sink.state.waiting === 0, "it is worked off");
    expect(link.receipts.length).toBeGreaterThan(0);
    expect(numbersIn()).toEqual([1]);
  });

  it("hands on as text what a gateway sent that is no object", async () => {
    const { sink, link } = await open();
    const facts: BatchFacts = {
      ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", stream: "env", lane: "rest", kind: "result" },
      ...{ numbers: [1, 2, 3], after: 0, floor: 1, at: 0 },
    };
    const lines = ["not json", "[1]", "{}"].map((text) => new Uint8Array(Buffer.from(text)));
    sink.receive(topic, await encodeBatch(facts, lines, keys.box.publicKey, gateway.signer, token));
    await until(() => link.receipts.length === 1, "the receipt");
    expect(linesIn().map(({ n, text }) => [n, text])).toEqual([
      [1, "not json"],
      [2, "[1]"],
      [3, undefined],
    ]);
  });
});

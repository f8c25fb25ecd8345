import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import type { ToldErasure } from "../../src/gateway/told-erasure.ts";
import { openEraseReceipt } from "../../src/wire/erase-receipt.ts";
import { tidegate } from "../support/command-line.ts";
import { moteStream } from "../support/daemon.ts";
import { atEnd, daemonAt, openSite } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { Listener } from "../support/publisher.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");
const timeout = 60_000;

/** `tidegate sink` in a process of its own, and what it has logged. */
function startSink(dir: string, url: string, to: string) {
  const options = ["--data-dir", dir, "--broker", url, "--fleet", "test", "--to", to, "--trust-first-use"];
  const child = spawn(process.execPath, [main, "sink", ...options]);
  let text = "";
  child.stderr.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const ended = new Promise<number | null>((done) => child.once("exit", done));
  const stop = async () => {
    child.kill("SIGTERM");
    return ended;
  };
  atEnd(stop);
  return { stop, fact: (name: string) => new RegExp(`"${name}":"([^"]+)"`).exec(text)?.[1] };
}

type Line = { n: number; source: { mote: string } };

describeReal("an erasure that is forwarded to the sink", () => {
  it("is told when the sink is there again, is done in its files, and comes back as a signed receipt", async () => {
    const { broker, sensors } = await openSite();
    const cloud = await startMosquitto();
    atEnd(() => cloud.stop());
    const dir = mkdtempSync(join(tmpdir(), "tidegate-sink-erase-"));
    atEnd(() => rmSync(dir, { recursive: true, force: true }));
    const out = join(dir, "readings");
    const begin = () => startSink(join(dir, "sink"), cloud.url, `ndjson:${out}`);
    let sink = begin();
    await expect.poll(() => sink.fact("announcer"), { timeout }).toBeDefined();
    const dataSigner = sink.fact("announcer") ?? "";
    const streams = { env: { ...moteStream, model: undefined, uplink: "raw" } };
    const daemon = daemonAt(broker.url, { cloud: { url: cloud.url, dataSigner }, streams });
    await daemon.start();
    const send = async (from: number, to: number) => {
      for (let i = from; i < to; i++) {
        const reading = { ts: 1.7e12 + i * 1_250, humidity: i % 100, temperature: 21 };
        await sensors.raw(`motes/m${i % 4}/env`, JSON.stringify(reading));
      }
    };
    const lines = (): Line[] => {
      const files = readdirSync(out).filter((file) => file.startsWith("env.raw."));
      const text = files.map((file) => readFileSync(join(out, file), "utf8")).join("");
      return text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Line]));
    };
    const ofM1 = () => lines().filter(({ source }) => source.mote === "m1");
    await send(0, 200);
    await expect.poll(() => lines().length, { timeout }).toBe(200);

    // The sink is away: the gateway erases, and owes it the notice.
    await sink.stop();
    const config = ["--config", join(daemon.dir, "tidegate.yaml"), "--json"];
    const erased = await tidegate(["buffer", "erase", "--source", "m1", "--yes", ...config]);
    expect(erased.code).toBe(0);
    expect(erased.json()).toMatchObject({ receipt: { isForwarded: true, erased: { readings: 50 } } });
    const listed = async () => (await tidegate(["buffer", "erasures", ...config])).json() as ToldErasure[];
    expect(await listed()).toMatchObject([{ number: 1, receipt: { version: 1 }, sinkReceipt: null }]);
    expect(ofM1()).toHaveLength(50);
    await send(200, 240);
    await daemon.kill();
    await daemon.start();
    sink = begin();
    await expect.poll(() => lines().length, { timeout }).toBe(190);
    expect(ofM1().map(({ n }) => n)).toEqual(Array.from({ length: 10 }, (_, i) => 202 + 4 * i));

    await expect.poll(async () => (await listed())[0]?.sinkReceipt ?? null, { timeout }).not.toBeNull();
    const [told] = await listed();
    expect(told?.sinkReceipt).toMatchObject({ version: 1, lines: 50, signer: dataSigner });
    const envelope = Buffer.from(JSON.stringify(told?.sinkEnvelope));
    expect(openEraseReceipt(envelope, "test/gw-1", Buffer.from(dataSigner, "base64")).lines).toBe(50);
    const text = await tidegate(["buffer", "erasures", "--config", join(daemon.dir, "tidegate.yaml")]);
    expect(text.out).toMatch(/^1 .* 50 readings by source; told to the sink, confirmed at 20.*: 50 lines/);

    // With --wait the verb ends when the sink has done it.
    const all = await tidegate(["buffer", "erase", "--all", "--yes", "--wait", ...config]);
    expect(all.json()).toMatchObject({ receipt: { version: 2 }, sinkReceipt: { version: 2, lines: 190 } });
    expect(lines()).toEqual([]);
    expect((await daemon.stop()).code).toBe(0);
  }, 180_000);

  it("is passed on as a message by a sink that keeps nothing itself", async () => {
    const { broker } = await openSite();
    const [cloud, target] = [await startMosquitto(), await startMosquitto()];
    atEnd(() => cloud.stop());
    atEnd(() => target.stop());
    const dir = mkdtempSync(join(tmpdir(), "tidegate-sink-erase-"));
    atEnd(() => rmSync(dir, { recursive: true, force: true }));
    const heard = await Listener.connect(target.url, "tidegate/#");
    atEnd(() => heard.close());
    const sink = startSink(join(dir, "sink"), cloud.url, target.url);
    await expect.poll(() => sink.fact("recipient"), { timeout }).toBeDefined();
    const dataKey = sink.fact("recipient") ?? "";
    const streams = { env: { ...moteStream, model: undefined } };
    const daemon = daemonAt(broker.url, { cloud: { url: cloud.url, dataKey }, streams });
    await daemon.start();
    const erase = ["buffer", "erase", "--stream", "env", "--before", "2026-01-01", "--yes", "--wait"];
    const { json } = await tidegate([...erase, "--config", join(daemon.dir, "tidegate.yaml"), "--json"]);
    expect(json()).toMatchObject({ sinkReceipt: { version: 1, lines: 0 } });
    const [message] = heard.messages.filter(({ topic }) => topic.endsWith("/erase"));
    expect(message?.topic).toBe("tidegate/test/gw-1/env/erase");
    expect(JSON.parse(message?.text ?? "null")).toMatchObject({
      ...{ fleet: "test", gateway: "gw-1", kind: "erase", n: 1, stream: "env", before: Date.parse("2026-01-01") },
      upTo: { raw: { env: expect.any(Number) } },
    });
  }, 120_000);
});

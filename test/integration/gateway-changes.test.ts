import { cpSync, existsSync, rmSync, truncateSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { ControlClient } from "../../src/ops/control-client.ts";
import { moteStream } from "../support/daemon.ts";
import { readStored } from "../support/daemon-journal.ts";
import { daemonAt, moteFields, openSite, results, windowsOf } from "../support/daemon-site.ts";
import { describeReal, freePort } from "../support/mosquitto.ts";

const shipped = resolve(import.meta.dirname, "../../models/mote-anomaly");

describeReal("the daemon while things around it change", () => {
  it("reads its configuration again at SIGHUP, loses nothing over it, and keeps the old one when the new has faults", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    const ending = new AbortController();
    const sending = sensors.run(200, ending.signal);
    const before = daemon.config;
    const door = { topic: "doors/{door}", fields: { open: "open" } };
    daemon.configure({ ...before, streams: { env: moteStream, door } });
    daemon.hangUp();
    const logged = (text: string) => () => daemon.log.filter(({ event }) => event.includes(text)).length;
    await expect.poll(logged("configuration reloaded"), { timeout: 10_000 }).toBe(1);
    await daemon.eventually(({ site }) => site.isOnline, "is online");
    await sensors.raw("doors/north", JSON.stringify({ open: 1 }));
    await daemon.eventually(({ streams }) => streams.door?.stored === 1, "stored a reading of the new stream");

    daemon.configure({ ...before, streams: { env: { ...moteStream, topik: "x" } } });
    daemon.hangUp();
    await expect.poll(logged("the old one stays"), { timeout: 10_000 }).toBe(1);
    ending.abort();
    await sending;
    await results(listener, windowsOf(sensors.sent));
    const { streams } = await daemon.status();
    expect(Object.keys(streams)).toEqual(["env", "door"]);

    // What is no longer in the configuration is no longer sent by the broker.
    daemon.configure({ ...before, streams: { env: moteStream } });
    daemon.hangUp();
    await expect.poll(logged("configuration reloaded"), { timeout: 10_000 }).toBe(2);
    await daemon.eventually(({ site }) => site.isOnline, "is online");
    await sensors.raw("doors/north", JSON.stringify({ open: 0 }));
    await sensors.send(4);
    await daemon.eventually((status) => status.streams.env?.readings === 4, "took 4 readings");
    expect((await daemon.status()).site).toMatchObject({ received: 4 });
    await daemon.stop();
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(new Set(readings.map(({ id }) => id)).size).toBe(sensors.sent);
  });

  it("moves its doors at a reload, and says that its data directory stays", async () => {
    const { broker } = await openSite();
    const [first, second] = [await freePort(), await freePort()];
    const listening = (port: number) => ({ dashboard: { enabled: true, listen: `127.0.0.1:${port}` } });
    const answers = (port: number) =>
      fetch(`http://127.0.0.1:${port}/healthz`).then(
        ({ status }) => status === 200,
        () => false,
      );
    const daemon = daemonAt(broker.url, listening(first));
    await daemon.start();
    expect([await answers(first), await answers(second)]).toEqual([true, false]);
    const socket = join(daemon.dir, "moved.sock");
    daemon.configure({ ...daemon.config, ...listening(second), control: { socket } });
    // Through the socket that is about to move: the answer still comes.
    await daemon.ask("reload");
    expect([await answers(first), await answers(second)]).toEqual([false, true]);
    const client = await ControlClient.connect(socket);
    expect(await client.call("status")).toMatchObject({ gateway: "gw-1" });
    client.close();
    await expect.poll(() => existsSync(daemon.socket), { timeout: 5_000 }).toBe(false);

    daemon.configure({ ...daemon.config, gateway: { dataDir: join(daemon.dir, "elsewhere") } });
    daemon.hangUp();
    const refused = () => daemon.log.filter(({ event }) => event.startsWith("gateway.dataDir changes with a restart"));
    await expect.poll(() => refused().length, { timeout: 10_000 }).toBe(1);
    expect(existsSync(join(daemon.dir, "elsewhere"))).toBe(false);
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
  }, 60_000);

  it("still drops a subscription that it could not drop before it was killed", async () => {
    const { broker, sensors } = await openSite();
    const door = { topic: "doors/{door}", fields: { open: "open" } };
    const daemon = daemonAt(broker.url, { streams: { env: moteStream, door } });
    await daemon.start();
    await daemon.stop();
    daemon.configure({ ...daemon.config, streams: { env: moteStream } });
    await broker.pause();
    await daemon.start({ isConnected: false });
    await daemon.kill();
    await broker.restart();
    await daemon.start();
    await sensors.raw("doors/north", JSON.stringify({ open: 1 }));
    await sensors.send(4);
    await daemon.eventually(({ streams }) => streams.env?.readings === 4, "took 4 readings");
    expect((await daemon.status()).site).toMatchObject({ received: 4 });
  }, 60_000);

  it("goes on when the broker restarts: nothing is lost, no window breaks", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    await broker.pause();
    await daemon.eventually(({ site }) => !site.isOnline, "is offline");
    await broker.restart();
    // Before or after the daemon is back: the session holds what comes.
    await sensors.send(100);
    await results(listener, windowsOf(200));
    const { site } = await daemon.status();
    expect(site.sessionsLost).toBe(0);
    await daemon.stop();
    // What the broker had not noted as acknowledged when it went comes again: once after deduplication by id.
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(new Set(readings.map(({ id }) => id)).size).toBe(200);
  });

  it("notices that the broker has lost its session, says so, and subscribes anew", async () => {
    const { broker, sensors, listener } = await openSite({ isPersistent: false });
    const daemon = daemonAt(broker.url);
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    await broker.kill();
    await broker.restart();
    await daemon.eventually(({ site }) => site.isOnline && site.sessionsLost === 1, "noticed the lost session");
    expect(daemon.log.filter(({ event }) => event.includes("lost the session")).length).toBe(1);
    await sensors.send(40);
    await daemon.eventually(({ streams }) => streams.env?.stored === 140, "stored what came after");
    await daemon.stop();
    // Also while it is away.
    await broker.kill();
    await broker.restart();
    await daemon.start();
    expect((await daemon.status()).site.sessionsLost).toBe(1);
  });

  it("has its models back within 2 s when their process is killed, and every window its result", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    const ending = new AbortController();
    const sending = sensors.run(500, ending.signal);
    await daemon.eventually(({ streams }) => (streams.env?.inferences ?? 0) > 100, "infers");
    const { modelProcess } = await daemon.status();
    process.kill(modelProcess.pid ?? 0, "SIGKILL");
    const begin = performance.now();
    const isBack = ({ streams }: Awaited<ReturnType<typeof daemon.status>>) =>
      (streams.env?.inferences ?? 0) > windowsOf(sensors.sent) - 100;
    await daemon.eventually((status) => status.modelProcess.restarts === 1 && isBack(status), "has its models back");
    expect(performance.now() - begin).toBeLessThan(2_000);
    ending.abort();
    await sending;
    const given = await results(listener, windowsOf(sensors.sent));
    expect(given.length).toBe(windowsOf(sensors.sent));
  });

  it.each([
    ["cut off", 65],
    ["no ONNX", 65],
    ["not there", 74],
  ])("ends and says what is wrong with a model file that is %s", async (fault, expected) => {
    const { broker } = await openSite();
    const daemon = daemonAt(broker.url);
    const models = join(daemon.dir, "models");
    const file = join(models, "mote-anomaly", "model.onnx");
    cpSync(shipped, join(models, "mote-anomaly"), { recursive: true });
    if (fault === "cut off") truncateSync(file, 500);
    if (fault === "no ONNX") cpSync(join(shipped, "card.yaml"), file);
    if (fault === "not there") rmSync(file);
    daemon.configure({ ...daemon.config, models: { dir: models } });
    daemon.spawn();
    expect(await daemon.ended()).toEqual({ code: expected, signal: null });
    const [said = ""] = daemon.text.split("\n").filter((line) => line.startsWith("tidegate: "));
    expect(said).toMatch(/mote-anomaly|model\.onnx/);
  });

  it("keeps judging with the old model when a changed one does not load", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    const models = join(daemon.dir, "models");
    cpSync(shipped, join(models, "mote-anomaly"), { recursive: true });
    daemon.configure({ ...daemon.config, models: { dir: models } });
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    truncateSync(join(models, "mote-anomaly", "model.onnx"), 500);
    const faults = () => daemon.log.filter(({ level, event }) => level === "error" && event.includes("model")).length;
    await expect.poll(faults, { timeout: 15_000 }).toBeGreaterThan(0);
    await sensors.send(40);
    await results(listener, windowsOf(140));
  });
});

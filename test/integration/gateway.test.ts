import { expect, it } from "vitest";
import type { Result } from "../../src/base/result.ts";
import { moteStream } from "../support/daemon.ts";
import { integrityOf, readStored } from "../support/daemon-journal.ts";
import { daemonAt, layLine, moteFields, openSite, results, windowsOf } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

describeReal("the daemon, on mosquitto", () => {
  it("stores what motes send, infers it, and publishes results with a verdict", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    await daemon.start();
    await sensors.send(200);
    await daemon.eventually(({ streams }) => streams.env?.stored === 200, "stored 200 readings");
    const given = await results(listener, windowsOf(200));
    expect(given[0]).toMatchObject({ stream: "env", model: "mote-anomaly", version: 1, verdict: "normal" });
    expect(new Set(listener.messages.map(({ topic }) => topic))).toEqual(
      new Set(["tidegate/gw-1/status", ...[0, 1, 2, 3].map((mote) => `tidegate/gw-1/results/env/m${mote}`)]),
    );
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect(JSON.parse(listener.messages.at(-1)?.text ?? "")).toMatchObject({ state: "offline" });

    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(readings.length).toBe(200);
    expect(new Set(readings.map(({ id }) => id)).size).toBe(200);
    const { ts, ...values } = sensors.reading(7);
    expect(readings.find((reading) => reading.ts === ts)).toMatchObject({ source: { mote: "m3" }, fields: values });
    expect(integrityOf(daemon.dataDir)).toEqual(["ok", "ok"]);
  });

  it("raises the alarm on a jump and says so at once", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url, { streams: { env: { ...moteStream, alarm: { onAfter: 2, offAfter: 3 } } } });
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    for (let i = 0; i < 3; i++) {
      const { ts } = sensors.reading(100 + i);
      await sensors.raw("motes/m0/env", JSON.stringify({ ts, humidity: 95, temperature: 60 }));
    }
    const verdicts = () => listener.json<Result>("tidegate/gw-1/results/env/m0").map(({ verdict }) => verdict);
    await expect.poll(() => verdicts().includes("alarm"), { timeout: 5_000 }).toBe(true);
    // It takes two alarming windows in a row.
    expect(verdicts().filter((verdict) => verdict === "alarm").length).toBe(2);
  });

  it("drains at SIGTERM, and takes up at its next start what came while it was away", async () => {
    const { broker, sensors, listener } = await openSite();
    // Nothing is committed before its time: what is stored at the end was stored by the drain.
    const daemon = daemonAt(broker.url, { buffer: { commitMaxDelay: "30s" } });
    await daemon.start();
    await sensors.send(100);
    await daemon.eventually(({ streams }) => streams.env?.readings === 100, "took 100 readings");
    expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    expect((await readStored(daemon.dataDir, "env", moteFields)).readings.length).toBe(100);
    await results(listener, windowsOf(100));

    await sensors.send(50);
    await daemon.start();
    await daemon.eventually(({ streams }) => streams.env?.readings === 50, "took what had waited at the broker");
    // Windows go on where they were: no source starts anew with 15 readings.
    await results(listener, windowsOf(150));
    await daemon.stop();
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(readings.length).toBe(150);
    expect(daemon.log.filter(({ event }) => event.includes("lost the session"))).toEqual([]);
  });

  it("loses nothing when it is ended while readings come in", async () => {
    const { broker, sensors, listener } = await openSite();
    const daemon = daemonAt(broker.url);
    const ending = new AbortController();
    await daemon.start();
    const sending = sensors.run(500, ending.signal);
    for (let life = 0; life < 3; life++) {
      if (life > 0) await daemon.start();
      await new Promise((resolve) => setTimeout(resolve, 400));
      expect(await daemon.stop()).toEqual({ code: 0, signal: null });
    }
    ending.abort();
    await sending;
    await daemon.start();
    await results(listener, windowsOf(sensors.sent));
    await daemon.stop();
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    const numbers = new Set(readings.map(({ ts }) => sensors.numberOf(ts)));
    expect(Array.from({ length: sensors.sent }, (_, n) => n).filter((n) => !numbers.has(n))).toEqual([]);
    expect(new Set(readings.map(({ id }) => id)).size).toBe(sensors.sent);
  });

  it("stores under the same id what comes again because its acknowledgement was lost", async () => {
    const { broker, sensors, listener } = await openSite();
    const line = await layLine(broker.port);
    const daemon = daemonAt(line.url);
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    line.hold(true);
    await sensors.send(200);
    await daemon.eventually(({ streams }) => streams.env?.stored === 300, "stored 300 readings");
    await daemon.kill();
    line.cut();
    line.hold(false);
    await daemon.start();
    await daemon.eventually(({ streams }) => (streams.env?.messages ?? 0) >= 200, "was given 200 messages again");
    await sensors.send(40);
    // What comes again is no break in a window, and is not judged again: each reading has one result.
    const given = await results(listener, windowsOf(340));
    // Results of the first 100 may be owed still: the broker's word that it has them comes when it likes.
    expect(given.filter(({ ts }) => sensors.numberOf(ts) >= 100)).toHaveLength(240);
    await daemon.stop();
    const { readings } = await readStored(daemon.dataDir, "env", moteFields);
    expect(new Set(readings.map(({ id }) => id)).size).toBe(340);
    expect(new Set(readings.map(({ ts }) => ts)).size).toBe(340);
  });

  it("still owes after a drain the results that the broker had not confirmed", async () => {
    const { broker, sensors, listener } = await openSite();
    const line = await layLine(broker.port);
    const daemon = daemonAt(line.url);
    await daemon.start();
    await sensors.send(100);
    await results(listener, windowsOf(100));
    line.hold(true);
    await sensors.send(40);
    await daemon.eventually(({ streams }) => streams.env?.stored === 140, "stored 140 readings");
    const ended = daemon.stop();
    // It drains in vain; then its line is cut, with all the results that were on it.
    expect(await ended).toEqual({ code: 0, signal: null });
    line.cut();
    line.hold(false);
    await daemon.start();
    await results(listener, windowsOf(140));
  }, 90_000);
});

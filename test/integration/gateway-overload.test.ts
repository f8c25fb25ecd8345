import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { moteStream } from "../support/daemon.ts";
import { atEnd, daemonAt, openSite, windowsOf } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";
import { readingOf } from "../support/publisher.ts";

const flood = 60_000;

/** A daemon that takes the motes' readings with QoS 0, and a way to send it more of them than it has room for. */
async function openFlooded() {
  const { broker } = await openSite();
  const daemon = daemonAt(broker.url, { streams: { env: { ...moteStream, qos: 0 } } });
  await daemon.start();
  const client = await connectAsync(broker.url);
  atEnd(() => client.endAsync(true));
  const send = async () => {
    for (let n = 0; n < flood; n++) {
      client.publish(`motes/m${n % 4}/env`, JSON.stringify(readingOf(n, Date.now() - 3_600_000)));
      if (n % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const { modelProcess } = await daemon.status();
  const model = modelProcess.pid;
  if (model === null) throw new Error("there is no model process");
  atEnd(() => process.kill(model, "SIGCONT"));
  return { daemon, send, model };
}

describeReal("a flood with QoS 0", () => {
  it("waits at the broker while the models are behind: every reading is stored and inferred", async () => {
    const { daemon, send, model } = await openFlooded();
    process.kill(model, "SIGSTOP");
    await send();
    await daemon.eventually(({ brake }) => brake.pauses === 1, "stopped reading");
    process.kill(model, "SIGCONT");
    await daemon.eventually(({ streams }) => streams.env?.inferences === windowsOf(flood), "inferred every window");
    await daemon.eventually(({ streams }) => streams.env?.stored === flood, "stored every reading");
    const { site, brake } = await daemon.status();
    expect(site).toMatchObject({ isOnline: true, connections: 1 });
    expect(brake.spent).toBe(0);
  }, 60_000);

  it("does not wait for ever: with the models stuck readings are stored all the same, and lost windows counted", async () => {
    const { daemon, send, model } = await openFlooded();
    process.kill(model, "SIGSTOP");
    await send();
    await daemon.eventually(({ streams }) => streams.env?.stored === flood, "stored every reading");
    const { brake } = await daemon.status();
    expect(brake).toMatchObject({ pauses: 1, spent: 1 });
    process.kill(model, "SIGCONT");
    await daemon.eventually(({ streams }) => {
      const { inferences = 0, lostWindows } = streams.env ?? {};
      return (lostWindows?.overflow ?? 0) > 0 && inferences + (lostWindows?.overflow ?? 0) === windowsOf(flood);
    }, "accounted for every window");
  }, 60_000);
});

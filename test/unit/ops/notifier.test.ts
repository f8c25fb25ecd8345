import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Notifier, takeNotifyEnvironment } from "../../../src/ops/notifier.ts";

type Answer = boolean | Error;

/** A way whose answers are given in turn; the last one stays. */
function way(name: string, ...answers: Answer[]) {
  const sent: string[] = [];
  let opened = 0;
  let closed = 0;
  const open = async () => {
    opened++;
    return {
      name,
      send: async (message: string) => {
        const answer = answers.length > 1 ? answers.shift() : answers[0];
        if (answer instanceof Error) throw answer;
        if (answer === true) sent.push(message);
        return answer === true;
      },
      close: () => {
        closed++;
      },
    };
  };
  return { open, sent, counts: () => ({ opened, closed }) };
}

function notifying(...ways: (() => Promise<never>)[] | ReturnType<typeof way>["open"][]) {
  const lost: (string | null)[] = [];
  const clock = new FakeClock();
  const notifier = new Notifier({ ways, clock, log: silentLog, onLost: (reason) => lost.push(reason) });
  return { notifier, lost, clock };
}

describe("the notifier", () => {
  it("says what systemd understands, in order, over one opened way", async () => {
    const socket = way("socket", true);
    const { notifier, clock } = notifying(socket.open);
    void notifier.ready("waiting for\nsensors");
    void notifier.watchdog();
    clock.advance(0.5);
    void notifier.reloading("reloading");
    void notifier.extendTimeout(90_000);
    void notifier.stopping("draining");
    await notifier.close();
    expect(socket.sent).toEqual([
      "READY=1\nSTATUS=waiting for sensors",
      "WATCHDOG=1",
      "RELOADING=1\nMONOTONIC_USEC=1000500\nSTATUS=reloading",
      "EXTEND_TIMEOUT_USEC=90000000",
      "STOPPING=1\nSTATUS=draining",
    ]);
    expect(socket.counts()).toEqual({ opened: 1, closed: 1 });
  });

  it("says nothing when nobody listens", async () => {
    const { notifier, lost } = notifying();
    await notifier.ready("up");
    await notifier.close();
    expect(lost).toEqual([]);
  });

  it("sends again when systemd's queue is full", async () => {
    const socket = way("socket", false, false, true);
    const { notifier, lost } = notifying(socket.open);
    await notifier.watchdog();
    expect(socket.sent).toEqual(["WATCHDOG=1"]);
    expect(lost).toEqual([]);
  });

  it("takes the next way when the library cannot be loaded, without losing the message", async () => {
    const command = way("command", true);
    const { notifier, lost } = notifying(() => Promise.reject(new Error("koffi is not there")), command.open);
    await notifier.ready("up");
    await notifier.watchdog();
    expect(command.sent).toEqual(["READY=1\nSTATUS=up", "WATCHDOG=1"]);
    expect(command.counts().opened).toBe(1);
    expect(lost).toEqual([]);
  });

  it("changes over when a way breaks later on", async () => {
    const socket = way("socket", true, new Error("ECONNREFUSED"));
    const command = way("command", true);
    const { notifier } = notifying(socket.open, command.open);
    await notifier.ready("up");
    await notifier.watchdog();
    expect(socket.sent).toHaveLength(1);
    expect(command.sent).toEqual(["WATCHDOG=1"]);
  });

  it("tells once that it is lost, never throws, and tells when it is found again", async () => {
    const socket = way("socket", new Error("ENOENT"), new Error("ENOENT"), new Error("ENOENT"), true);
    const { notifier, lost } = notifying(socket.open);
    await notifier.ready("up");
    await notifier.watchdog();
    expect(lost).toEqual(["socket: ENOENT"]);
    await notifier.watchdog();
    await notifier.watchdog();
    expect(lost).toEqual(["socket: ENOENT", null]);
  });

  it("keeps no more than a few messages while systemd is slow, but never drops the end", async () => {
    const socket = way("socket", true);
    const { notifier } = notifying(socket.open);
    for (let i = 0; i < 1_000; i++) void notifier.watchdog();
    void notifier.stopping("end");
    await notifier.close();
    expect(socket.sent.length).toBeLessThan(50);
    expect(socket.sent.at(-1)).toContain("STOPPING=1");
  });
});

describe("systemd's variables", () => {
  it("are taken out of the environment, so that children do not inherit them", () => {
    const env = { NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "30000000", WATCHDOG_PID: "42", PATH: "/bin" };
    expect(takeNotifyEnvironment(env, 42)).toEqual({ socket: "/run/n", watchdogMs: 30_000 });
    expect(env).toEqual({ PATH: "/bin" });
  });

  it("of another process's watchdog, and nonsense, are not believed", () => {
    expect(takeNotifyEnvironment({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "41" }, 42)).toEqual({});
    expect(takeNotifyEnvironment({ WATCHDOG_USEC: "soon", NOTIFY_SOCKET: "" }, 42)).toEqual({});
    expect(takeNotifyEnvironment({ WATCHDOG_USEC: "0" }, 42)).toEqual({});
  });
});

import { expect, it, vi } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { ResultsWay } from "../../../src/gateway/results-way.ts";

type Waiting = { topic: string; answer: () => void; reject: (thrown: Error) => void };

function open() {
  const waiting: Waiting[] = [];
  const bySite: string[] = [];
  const crowds: boolean[] = [];
  const state: { isOnline: boolean; error: TidegateError | null } = { isOnline: false, error: null };
  let hurried = 0;
  const way = new ResultsWay({
    site: {
      send: () => null,
      publish: async (topic) => {
        bySite.push(topic);
        return { reason: 0 };
      },
    },
    own: {
      state,
      start: async () => {},
      hurry: () => void hurried++,
      send: () => null,
      stop: async () => {
        for (const { reject } of waiting.splice(0)) reject(new TidegateError("STOPPED", { what: "the link" }));
      },
      publish: (topic) =>
        new Promise((resolve, reject) => waiting.push({ topic, answer: () => resolve({ reason: 0 }), reject })),
    },
    onCrowded: (isCrowded) => crowds.push(isCrowded),
    log: silentLog,
    patienceMs: 1_000,
  });
  const publish = (topic: string, bytes = 100) => way.publish(topic, Buffer.alloc(bytes), { qos: 1, retain: false });
  return { way, state, waiting, bySite, crowds, publish, hurried: () => hurried };
}

const refused = () => new TidegateError("BROKER_REFUSED", { url: "", clientId: "", reason: "not authorized" });

it("gives what waited for a refused connection to the readings' one, in order", async () => {
  const { way, state, bySite, publish } = open();
  await way.start();
  const answers = ["a", "b", "c"].map((topic) => publish(topic));
  state.error = refused();
  way.changed();
  expect(way.state.isShared).toBe(false);
  way.siteChanged(true);
  expect(await Promise.all(answers)).toHaveLength(3);
  await publish("d");
  expect(bySite).toEqual(["a", "b", "c", "d"]);
});

it("waits for a connection that does not come only so long, and only while the readings' one is there", async () => {
  vi.useFakeTimers();
  try {
    const { way, state, hurried } = open();
    await way.start();
    way.siteChanged(true);
    expect(hurried()).toBe(1);
    way.siteChanged(false);
    vi.advanceTimersByTime(60_000);
    expect(way.state.isShared).toBe(false);
    way.siteChanged(true);
    vi.advanceTimersByTime(999);
    expect(way.state.isShared).toBe(false);
    vi.advanceTimersByTime(1);
    expect(way.state.isShared).toBe(true);
    // The broker was away: it may let both in now.
    way.siteChanged(false);
    way.siteChanged(true);
    expect(way.state.isShared).toBe(false);
    state.isOnline = true;
    way.changed();
    vi.advanceTimersByTime(60_000);
    expect(way.state.isShared).toBe(false);
    await way.stop(0);
  } finally {
    vi.useRealTimers();
  }
});

it("tells when more waits for the broker than it should, and when it has become less", async () => {
  const { way, waiting, crowds, publish } = open();
  await way.start();
  const answers = Array.from({ length: 100 }, (_, n) => publish(`${n}`, 100_000));
  expect(crowds).toEqual([true]);
  for (const { answer } of waiting) answer();
  await Promise.all(answers);
  expect(crowds).toEqual([true, false]);
});

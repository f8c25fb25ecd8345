import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { TidegateError } from "../../../src/base/errors.ts";
import { type DeadLetter, DeadLetters, deadLetter } from "../../../src/ingest/dead-letter.ts";
import { Intake } from "../../../src/ingest/intake.ts";
import { Router } from "../../../src/ingest/router.ts";

const clock = new FakeClock();

function createRouter(patterns: Record<string, { topic: string; exclude?: string[] }>) {
  const letters: DeadLetter[] = [];
  const onDead = (letter: DeadLetter) => letters.push(letter);
  const intakes = Object.entries(patterns).map(
    ([name, { topic, exclude = [] }]) =>
      new Intake({
        name,
        stream: { codec: "json", topic, exclude, fields: { v: "." }, maxPayload: 1024, maxSources: 10 },
        clock,
        sources: [],
        next: 0,
        onDead,
      }),
  );
  const router = new Router(intakes, clock, onDead);
  const send = (topic: string, body = "1") => router.accept(topic, Buffer.from(body), "no", 0);
  const pending = () => Object.fromEntries(intakes.map((intake) => [intake.name, intake.pending]));
  return { router, letters, send, pending };
}

describe("a router", () => {
  it("brings a message to every stream that takes its topic", () => {
    const { send, pending, letters } = createRouter({
      rooms: { topic: "house/{room}/env" },
      all: { topic: "house/{path...}" },
      pumps: { topic: "pumps/{pump}" },
    });
    for (let i = 0; i < 3; i++) send("house/attic/env");
    send("house/door");
    expect(pending()).toEqual({ rooms: 3, all: 4, pumps: 0 });
    expect(letters).toEqual([]);
  });

  it("makes a dead letter of a topic that nobody asked for", () => {
    const { send, letters, router } = createRouter({ rooms: { topic: "house/{room}/env" } });
    send("garage/env", "secret");
    expect(letters).toEqual([
      {
        stream: null,
        topic: "garage/env",
        payload: new Uint8Array(Buffer.from("secret")),
        size: 6,
        code: "TOPIC_UNKNOWN",
        reason: "no stream takes this topic",
        receivedAt: clock.now(),
      },
    ]);
    expect(router.counters).toEqual({ own: 0, excluded: 0, unknown: 1 });
  });

  it("leaves without a word what a filter had to bring along", () => {
    const { send, letters, router, pending } = createRouter({
      devices: { topic: "z/{device...}", exclude: ["z/bridge/#"] },
      ends: { topic: "site/{path...}/env" },
    });
    for (const topic of ["z/bridge/state", "z", "site/x/y", "site/env"]) send(topic);
    expect([letters, router.counters.excluded]).toEqual([[], 4]);
    send("z/lamp");
    expect(pending()).toEqual({ devices: 1, ends: 0 });
  });

  it("never takes what the gateway or the broker itself says", () => {
    const { send, letters, router, pending } = createRouter({ all: { topic: "{path...}" } });
    send("tidegate/gw-1/results/all/x");
    send("$SYS/broker/uptime");
    expect([letters, router.counters.own, pending()]).toEqual([[], 2, { all: 0 }]);
    send("tidegates/x");
    expect(pending()).toEqual({ all: 1 });
  });

  it.each([["a/+/b"], ["a/#"], ["a/\u0000"], ["a/b\u0007"], [""], ["x".repeat(60_000)]])(
    "makes a dead letter of a topic that no result could be published under: %#",
    (topic) => {
      const { send, letters, pending } = createRouter({ all: { topic: "{path...}" } });
      send(topic);
      expect(letters.map((letter) => letter.code)).toEqual(["TOPIC_UNUSABLE"]);
      expect(letters[0]?.topic.length).toBeLessThanOrEqual(1024);
      expect(pending()).toEqual({ all: 0 });
    },
  );

  it("goes on taking known topics through a flood of made-up ones", () => {
    const { router, send, pending } = createRouter({ all: { topic: "ok/{x}" } });
    let most = 0;
    for (let i = 0; i < 50_000; i++) {
      router.route(`made-up/${i}`.padEnd(1_000, "x"));
      most = Math.max(most, router.remembered);
    }
    expect(most).toBeGreaterThan(20_000);
    expect(most).toBeLessThan(30_000);
    send("ok/1");
    expect(pending()).toEqual({ all: 1 });
  });
});

describe("dead letters", () => {
  const letter = (n: number, size: number) =>
    deadLetter("s", `t/${n}`, new Uint8Array(size), new TidegateError("PAYLOAD_ENCODING"), n);

  it("wait within bounds, the first of a flood stay, the rest are counted", () => {
    const waiting = new DeadLetters({ maxLetters: 3, maxBytes: 10_000 });
    for (let i = 0; i < 10; i++) waiting.add(letter(i, 10));
    expect([waiting.count, waiting.dropped]).toEqual([3, 7]);
    expect(waiting.take().map(({ receivedAt }) => receivedAt)).toEqual([0, 1, 2]);
    waiting.add(letter(11, 9_000));
    waiting.add(letter(12, 9_000));
    expect([waiting.take().length, waiting.dropped, waiting.take().length]).toEqual([1, 8, 0]);
  });
});

import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import type { MqttEnd } from "../../../src/drivers/mqtt.ts";
import { Backoff } from "../../../src/wire/backoff.ts";
import { Reconnect } from "../../../src/wire/link-reconnect.ts";

const end = (why: MqttEnd["why"], code: number | null = null, wasConnected = true): MqttEnd => {
  return { why, reason: why, code, wasConnected };
};
const away = end("unreachable", null, false);

describe("backoff", () => {
  it("is uniform between 0 and an end that doubles up to its limit", () => {
    const pauses = (value: number) => {
      const backoff = new Backoff({ baseMs: 1_000, maxMs: 60_000 }, () => value);
      return Array.from({ length: 8 }, () => backoff.next());
    };
    expect(pauses(0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(pauses(0.5)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it("stays finite after weeks without a broker, and starts anew after a success", () => {
    const backoff = new Backoff({ baseMs: 1_000, maxMs: 60_000 }, () => 0.999);
    const pauses = Array.from({ length: 10_000 }, () => backoff.next());
    expect(Math.max(...pauses)).toBeLessThanOrEqual(60_000);
    backoff.succeeded();
    expect(backoff.next()).toBeLessThanOrEqual(1_000);
  });

  it("spreads clients that lost the same broker", () => {
    const first = Array.from({ length: 100 }, (_, seed) => {
      return new Backoff({ baseMs: 1_000, maxMs: 60_000 }, seededRandom(seed)).next();
    });
    expect(Math.max(...first) - Math.min(...first)).toBeGreaterThan(800);
  });
});

describe("reconnecting", () => {
  it("waits a minute after three kicks, and as long again while they go on", () => {
    const reconnect = new Reconnect("auto", () => 0);
    expect(reconnect.ended(end("taken"), 100)).toEqual({ pauseMs: 0, isKicked: false });
    expect(reconnect.ended(end("closed"), 100).isKicked).toBe(false);
    expect(reconnect.ended(end("closed"), 100)).toEqual({ pauseMs: 60_000, isKicked: true });
    expect(reconnect.ended(end("closed"), 100)).toEqual({ pauseMs: 60_000, isKicked: true });
    expect(reconnect.ended(end("closed"), 3_600_000).isKicked).toBe(false);
  });

  it("takes neither a broker that is away nor one that was there for long for a rival", () => {
    const reconnect = new Reconnect("auto", () => 0);
    for (let i = 0; i < 3; i++) {
      expect(reconnect.ended(end("closed"), 100).isKicked).toBe(false);
      expect(reconnect.ended(away, null).isKicked).toBe(false);
    }
    for (let i = 0; i < 9; i++) expect(reconnect.ended(end("closed"), 60_000).isKicked).toBe(false);
  });

  it("goes on growing its pauses while connections do not last", () => {
    const reconnect = new Reconnect("auto", () => 0.999);
    const pauses = Array.from({ length: 5 }, () => reconnect.ended(end("protocol"), 10).pauseMs);
    expect(pauses).toEqual([999, 1_998, 3_996, 7_992, 15_984]);
    expect(reconnect.ended(end("unreachable"), 6_000).pauseMs).toBe(999);
  });
});

describe("the protocol", () => {
  it("is 3.1.1 at once and for good when the broker says that it does not speak 5", () => {
    for (const code of [1, 132]) {
      const reconnect = new Reconnect("auto", () => 0.5);
      expect(reconnect.version()).toBe(5);
      expect(reconnect.ended(end("refused", code), null).pauseMs).toBe(0);
      expect(reconnect.version()).toBe(4);
      reconnect.opened();
      reconnect.ended(end("closed"), 60_000);
      expect(reconnect.version()).toBe(4);
    }
  });

  it("stays 5 when the refusal is about something else, or the broker is away", () => {
    const reconnect = new Reconnect("auto", () => 0.5);
    reconnect.ended(end("refused", 135), null);
    for (let i = 0; i < 10; i++) reconnect.ended(away, null);
    expect(reconnect.version()).toBe(5);
  });

  it("is 3.1.1 after two closes without a word, and 5 is asked again each time", () => {
    const reconnect = new Reconnect("auto", () => 0.5);
    reconnect.ended(end("closed"), null);
    expect(reconnect.version()).toBe(5);
    reconnect.ended(end("closed"), null);
    expect(reconnect.version()).toBe(4);
    reconnect.opened();
    reconnect.ended(end("closed"), 60_000);
    expect(reconnect.version()).toBe(5);
    reconnect.ended(end("closed"), null);
    expect(reconnect.version()).toBe(4);
  });

  it("is not changed where it is given", () => {
    const five = new Reconnect("5", () => 0.5);
    five.ended(end("refused", 1), null);
    five.ended(end("closed"), null);
    five.ended(end("closed"), null);
    expect(five.version()).toBe(5);
    expect(new Reconnect("3.1.1", () => 0.5).version()).toBe(4);
  });

  it("does not hurry from one refusal to the next", () => {
    const reconnect = new Reconnect("auto", () => 0.5);
    expect(reconnect.ended(end("refused", 1), null).pauseMs).toBe(0);
    expect(reconnect.ended(end("refused", 1), null).pauseMs).toBeGreaterThan(0);
  });
});

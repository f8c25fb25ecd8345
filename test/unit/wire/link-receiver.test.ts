import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { MqttMessage } from "../../../src/drivers/mqtt.ts";
import type { LinkMessage } from "../../../src/wire/link-options.ts";
import { Receiver, type ReceiverOptions } from "../../../src/wire/link-receiver.ts";
import { Subscriptions } from "../../../src/wire/link-subscriptions.ts";

function receiving(options: Partial<ReceiverOptions> = {}) {
  const got: LinkMessage[] = [];
  const acknowledged: number[] = [];
  const receiver = new Receiver({
    name: "site",
    isGated: true,
    ownPrefix: "tidegate/gw/",
    subscriptions: new Subscriptions([{ topic: "s/#", qos: 1, retained: "ignore" }], []),
    acknowledge: (ids) => acknowledged.push(...ids),
    maxHeld: 8192,
    onRoom: () => {},
    onMessage: (message) => got.push({ ...message }),
    clock: new FakeClock(),
    log: silentLog,
    ...options,
  });
  return { receiver, got, acknowledged };
}

const message = (messageId: number, more: Partial<MqttMessage> = {}): MqttMessage => {
  return { topic: "s/1", payload: Buffer.from("21.5"), qos: 1, retain: false, dup: false, messageId, ...more };
};

describe("what comes in", () => {
  it("is handed on and held until it is released", () => {
    const { receiver, got, acknowledged } = receiving();
    receiver.receive(message(1));
    receiver.receive(message(0, { qos: 0 }));
    expect(got.map(({ topic, qos, repeat }) => [topic, qos, repeat])).toEqual([
      ["s/1", 1, "no"],
      ["s/1", 0, "no"],
    ]);
    expect([receiver.held, receiver.lastTicket, acknowledged]).toEqual([1, 1, []]);
    receiver.release(1);
    expect(acknowledged).toEqual([1]);
  });

  it("is recognised when it comes again unacknowledged, and not in another session", () => {
    const { receiver, got } = receiving();
    receiver.receive(message(1));
    receiver.receive(message(2));
    receiver.release(1);
    receiver.discard();
    receiver.receive(message(1, { dup: true }));
    receiver.receive(message(2, { dup: true }));
    expect(got.slice(2).map(({ repeat }) => repeat)).toEqual(["maybe", "certain"]);
    receiver.discard();
    receiver.forget();
    receiver.receive(message(2, { dup: true }));
    expect(got[4]?.repeat).toBe("maybe");
    expect(receiver.counters.repeats).toBe(1);
  });

  it("is acknowledged but not handed on when it is our own, or retained and not asked for", () => {
    const { receiver, got, acknowledged } = receiving();
    receiver.receive(message(1));
    receiver.receive(message(2, { topic: "tidegate/gw/results/env/1" }));
    receiver.receive(message(3, { retain: true }));
    receiver.receive(message(0, { qos: 0, retain: true }));
    receiver.receive(message(4, { topic: "tidegate/gw-2/results/env/1" }));
    expect(got.map(({ topic }) => topic)).toEqual(["s/1", "tidegate/gw-2/results/env/1"]);
    expect(acknowledged).toEqual([]);
    receiver.release(1);
    expect(acknowledged).toEqual([1, 2, 3]);
    expect(receiver.counters).toMatchObject({ received: 5, ownIgnored: 1, retainedIgnored: 2 });
  });

  it("does no harm when its taker throws, however often", () => {
    const lines: object[] = [];
    const { receiver } = receiving({
      onMessage: () => {
        throw new Error("no");
      },
      log: { ...silentLog, error: (facts: object | string) => lines.push(Object(facts)) },
    });
    for (let id = 1; id <= 1_000; id++) receiver.receive(message(id));
    expect(receiver.counters.faults).toBe(1_000);
    expect(lines.length).toBe(1);
    expect(receiver.held).toBe(1_000);
  });

  it("holds no more than it may, and says when there is room again", () => {
    let rooms = 0;
    const { receiver } = receiving({ maxHeld: 3, onRoom: () => rooms++ });
    expect([1, 2, 3].map((id) => receiver.receive(message(id)))).toEqual([true, true, true]);
    // The broker sends more than its window: this one is taken, and nothing is read after it.
    expect(receiver.receive(message(4))).toBe(false);
    receiver.release(0);
    expect(rooms).toBe(0);
    receiver.release(1);
    expect([rooms, receiver.held]).toEqual([1, 3]);
  });

  it("stops before there are more messages than packet ids, whatever it was told", () => {
    const { receiver } = receiving({ maxHeld: 65_535, onMessage: () => {} });
    let taken = 0;
    while (receiver.receive(message(++taken)));
    expect([taken, receiver.held]).toEqual([65_535, 65_535]);
  });

  it("needs no ticket where messages are acknowledged by themselves", () => {
    const { receiver, got } = receiving({ isGated: false });
    receiver.receive(message(1));
    expect([got.length, receiver.held, receiver.lastTicket]).toEqual([1, 0, 0]);
  });
});

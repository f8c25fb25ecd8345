import { describe, expect, it } from "vitest";
import type { LinkSubscription } from "../../../src/wire/link-options.ts";
import { Subscriptions } from "../../../src/wire/link-subscriptions.ts";

const want = (topic: string, qos: 0 | 1 = 1, retained: "ignore" | "first" = "ignore"): LinkSubscription => {
  return { topic, qos, retained };
};

function granted(subscriptions: Subscriptions, version: 4 | 5): void {
  for (const one of subscriptions.plan(version, true).subscribe) subscriptions.answered(one, one.qos);
}

const topicsOf = (plan: { subscribe: readonly { topic: string }[] }) => plan.subscribe.map(({ topic }) => topic);

describe("subscriptions", () => {
  it("ask for no retained messages, or for those of a new subscription", () => {
    const subscriptions = new Subscriptions([want("a", 0), want("b", 1, "first")], []);
    expect(subscriptions.plan(5, true)).toEqual({
      unsubscribe: [],
      subscribe: [
        { topic: "a", qos: 0, retainHandling: 2 },
        { topic: "b", qos: 1, retainHandling: 1 },
      ],
    });
  });

  it("are said again on every connection with MQTT 5, and only when needed with 3.1.1", () => {
    for (const [version, expected] of [
      [5, ["a"]],
      [4, []],
    ] as const) {
      const subscriptions = new Subscriptions([want("a")], []);
      granted(subscriptions, version);
      expect(topicsOf(subscriptions.plan(version, true))).toEqual(expected);
      expect(topicsOf(subscriptions.plan(version, false))).toEqual([]);
      subscriptions.forget();
      expect(topicsOf(subscriptions.plan(version, true))).toEqual(["a"]);
    }
  });

  it("drop what is gone, in this life and from an earlier one", () => {
    const subscriptions = new Subscriptions([want("a"), want("b")], ["b", "old/#"]);
    granted(subscriptions, 5);
    subscriptions.want([want("b"), want("c")]);
    const plan = subscriptions.plan(5, false);
    expect(plan.unsubscribe).toEqual(["old/#", "a"]);
    expect(topicsOf(plan)).toEqual(["c"]);
    for (const topic of plan.unsubscribe) subscriptions.dropped(topic);
    expect(subscriptions.plan(5, false).unsubscribe).toEqual([]);
  });

  it("are said again when the quality of service changes, or is not known from an earlier life", () => {
    const subscriptions = new Subscriptions([want("a", 1)], ["a"]);
    expect(topicsOf(subscriptions.plan(4, true))).toEqual(["a"]);
    granted(subscriptions, 4);
    subscriptions.want([want("a", 0)]);
    expect(topicsOf(subscriptions.plan(4, false))).toEqual(["a"]);
  });

  it("that were refused are asked for again and named, until they are granted or no longer wanted", () => {
    const subscriptions = new Subscriptions([want("a"), want("b")], []);
    granted(subscriptions, 5);
    subscriptions.answered({ topic: "a", qos: 1, retainHandling: 2 }, 135);
    expect([...subscriptions.refused]).toEqual([["a", 135]]);
    expect(topicsOf(subscriptions.plan(5, false))).toEqual(["a"]);
    subscriptions.answered({ topic: "a", qos: 1, retainHandling: 2 }, 1);
    expect(subscriptions.refused.size).toBe(0);
  });

  it("leave out what is no filter: a broker would close the connection over it, each time", () => {
    const subscriptions = new Subscriptions([want("a/#/b"), want(""), want("a+"), want("ok/+/#")], []);
    expect(topicsOf(subscriptions.plan(5, true))).toEqual(["ok/+/#"]);
  });

  it("take a retained message once, where it is wanted, until its content changes", () => {
    const subscriptions = new Subscriptions([want("a/#", 1, "first"), want("b/#")], []);
    expect(subscriptions.takesRetained("a/1", 1)).toBe(true);
    expect(subscriptions.takesRetained("a/1", 1)).toBe(false);
    expect(subscriptions.takesRetained("a/2", 1)).toBe(true);
    expect(subscriptions.takesRetained("a/1", 2)).toBe(true);
    expect(subscriptions.takesRetained("b/1", 1)).toBe(false);
  });
});

import { describe, expect, it } from "vitest";
import { renderSource } from "../../../src/base/frame.ts";
import { compileFilter } from "../../../src/ingest/topic-filter.ts";
import { compilePattern, maxTopicLength, topicFault } from "../../../src/ingest/topic-pattern.ts";

describe("a topic pattern", () => {
  it.each([
    ["motes/{mote}/env", "motes/+/env"],
    ["zigbee2mqtt/{device...}", "zigbee2mqtt/#"],
    ["site/{room}/{path...}/env", "site/+/#"],
    ["{path...}/env", "#"],
    ["plain/topic", "plain/topic"],
    ["/leading/{x}", "/leading/+"],
  ])("%s subscribes to %s", (pattern, filter) => {
    expect(compilePattern(pattern).filter).toBe(filter);
  });

  it.each([
    ["motes/{mote}/env", "motes/4/env", { mote: "4" }],
    ["motes/{mote}/env", "motes//env", { mote: "" }],
    ["motes/{mote}/env", "motes/a b/env", { mote: "a b" }],
    ["motes/{mote}/env", "motes/Gewächshaus 🌱/env", { mote: "Gewächshaus 🌱" }],
    ["motes/{mote}/env", "motes/{mote}/env", { mote: "{mote}" }],
    ["motes/{mote}/env", "motes/__proto__/env", { mote: "__proto__" }],
    ["motes/{mote}/env", "motes/$x/env", { mote: "$x" }],
    ["z/{device...}", "z/a", { device: "a" }],
    ["z/{device...}", "z/a/b/c", { device: "a/b/c" }],
    ["{path...}/env/{n}", "a/b/env/1", { path: "a/b", n: "1" }],
    ["{a}/{b...}/{c}/x", "1/2/3/4/x", { a: "1", b: "2/3", c: "4" }],
    ["plain", "plain", {}],
    ["{constructor}/{toString}", "a/b", { constructor: "a", toString: "b" }],
  ])("%s takes %s", (pattern, topic, source) => {
    expect(compilePattern(pattern).match(topic)).toEqual(source);
  });

  it.each([
    ["motes/{mote}/env", "motes/4"],
    ["motes/{mote}/env", "motes/4/env/x"],
    ["motes/{mote}/env", "motes/4/ENV"],
    ["z/{device...}", "z"],
    ["{path...}/env", "env"],
    ["{path...}/env", "a/b/envy"],
    ["{a}/{b...}", "$SYS/broker"],
    ["{a}/{b...}", "tidegate/gw-1/results/env/4"],
    ["motes/{mote}/env", "motes/+/env"],
    ["motes/{mote}/env", "motes/#/env"],
    ["motes/{mote}/env", "motes/a\u0000/env"],
    ["motes/{mote}/env", "motes/a\nb/env"],
    ["motes/{mote}/env", `motes/${"x".repeat(maxTopicLength)}/env`],
    ["{x}", ""],
  ])("%s leaves %j", (pattern, topic) => {
    expect(compilePattern(pattern).match(topic)).toBeNull();
  });

  it("leaves what it excludes, and only that", () => {
    const pattern = compilePattern("zigbee2mqtt/{device...}", ["zigbee2mqtt/bridge/#", "zigbee2mqtt/+/availability"]);
    expect(pattern.match("zigbee2mqtt/bridge")).toBeNull();
    expect(pattern.match("zigbee2mqtt/bridge/state")).toBeNull();
    expect(pattern.match("zigbee2mqtt/lamp/availability")).toBeNull();
    expect(pattern.match("zigbee2mqtt/lamp")).toEqual({ device: "lamp" });
    expect(pattern.match("zigbee2mqtt/bridges")).toEqual({ device: "bridges" });
    expect(pattern.covers("zigbee2mqtt/bridge/state")).toBe(true);
    expect(pattern.covers("elsewhere")).toBe(false);
  });

  it("lists the source in the order of the pattern", () => {
    const source = compilePattern("{z}/{a}/{m...}").match("3/1/2/2");
    expect(source && renderSource(source)).toBe("3/1/2/2");
  });

  it.each([
    "motes/{mote}x/env",
    "motes/{}/env",
    "motes/{1}/env",
    "motes/{__proto__}/env",
    "motes/{a}/{a}",
    "{a...}/{b...}",
    "motes/+/env",
    "motes/#",
    "$SYS/{x...}",
    "$share/group/{x}",
    "tidegate/{gateway}/results",
    "",
    "x".repeat(maxTopicLength + 1),
  ])("refuses the pattern %j", (pattern) => {
    expect(() => compilePattern(pattern)).toThrow(expect.objectContaining({ code: "CODEC_INVALID" }));
  });
});

describe("an MQTT filter", () => {
  it.each([
    ["#", "a/b", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["$SYS/#", "$SYS/x", true],
    ["a/#", "a", true],
    ["a/#", "ab", false],
    ["a/+", "a/", true],
    ["a/+", "a", false],
    ["a/+/c", "a/b/c", true],
    ["a/+/c", "a/b/d", false],
    ["a", "a/b", false],
  ])("%s on %s: %s", (filter, topic, expected) => {
    expect(compileFilter(filter)(topic)).toBe(expected);
  });

  it.each(["", "a/#/b", "a#", "a/b+", "##"])("refuses %j", (filter) => {
    expect(() => compileFilter(filter)).toThrow(expect.objectContaining({ code: "CODEC_INVALID" }));
  });
});

describe("a topic", () => {
  it("is told what is wrong with it", () => {
    expect(topicFault("a/b c/ü")).toBeNull();
    expect(topicFault("a/+")).toContain("wildcard");
    expect(topicFault("a\u007f")).toContain("control");
  });
});

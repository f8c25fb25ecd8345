import { describe, expect, it } from "vitest";
import {
  fleetTopics,
  matchesFilter,
  parseGatewayTopic,
  renderLevels,
  shared,
  siteTopics,
} from "../../../src/wire/topics.ts";

const cloud = fleetTopics("demo").gateway("gw-1");

describe("topics", () => {
  it("are the ones that users script against", () => {
    const site = siteTopics("gw-1");
    expect(site.status).toBe("tidegate/gw-1/status");
    expect(site.result("env", "mote-3")).toBe("tidegate/gw-1/results/env/mote-3");
    expect(site.result("env", "")).toBe("tidegate/gw-1/results/env");
    expect(cloud.status).toBe("tidegate/v1/demo/gateways/gw-1/status");
    expect(cloud.twinDesired).toBe("tidegate/v1/demo/gateways/gw-1/twin/desired");
    expect(cloud.commandStatus("c1")).toBe("tidegate/v1/demo/gateways/gw-1/cmd/c1/status");
    expect(cloud.data("env")).toBe("tidegate/v1/demo/gateways/gw-1/data/env");
    expect(cloud.update("mote-anomaly", 7)).toBe("tidegate/v1/demo/gateways/gw-1/updates/mote-anomaly/7");
    expect(cloud.receipt("data")).toBe("tidegate/v1/demo/gateways/gw-1/receipts/data");
    expect(cloud.ask("m")).toBe("tidegate/v1/demo/gateways/gw-1/ask/m");
    expect(cloud.answer("a")).toBe("tidegate/v1/demo/gateways/gw-1/answers/a");
    const fleet = fleetTopics("demo");
    expect(fleet.manifest("m")).toBe("tidegate/v1/demo/models/m/manifest");
    expect(fleet.blob("m", "ab", 0)).toBe("tidegate/v1/demo/models/m/blob/ab/0");
    expect(fleet.round("m")).toBe("tidegate/v1/demo/rounds/m");
    expect(fleet.dataKeys).toBe("tidegate/v1/demo/keys/data");
  });

  it("stay within seven slashes", () => {
    const deepest = [
      cloud.commandStatus("c"),
      cloud.update("m", 1),
      fleetTopics("f").blob("m", "h", 1),
      cloud.twinReported,
      cloud.answer("a"),
    ];
    for (const topic of deepest) expect(topic.split("/").length - 1).toBeLessThanOrEqual(7);
  });

  it("never carry a wildcard from a source into a topic to publish to", () => {
    expect(renderLevels("a/b+#\0c")).toBe("a/b%2b%23%00c");
    expect(siteTopics("g").result("s", "x+y")).toBe("tidegate/g/results/s/x%2by");
  });

  it("of gateways are taken apart, those of others are not", () => {
    expect(parseGatewayTopic("demo", cloud.data("env"))).toEqual({ gateway: "gw-1", path: ["data", "env"] });
    expect(parseGatewayTopic("other", cloud.data("env"))).toBeNull();
    expect(parseGatewayTopic("demo", "tidegate/v1/demo/gateways/a b/data")).toBeNull();
    expect(parseGatewayTopic("demo", "tidegate/v1/demo/gateways/gw-1")).toBeNull();
  });

  it("are subscribed to for a whole fleet by filters that match them", () => {
    const { all } = fleetTopics("demo");
    expect(matchesFilter(all.data, cloud.data("env"))).toBe(true);
    expect(matchesFilter(shared("sinks", all.data), cloud.data("env"))).toBe(true);
    expect(matchesFilter(all.commandStatus, cloud.commandStatus("c"))).toBe(true);
    expect(matchesFilter(cloud.subtree, cloud.update("m", 1))).toBe(true);
    expect(matchesFilter(all.status, cloud.commandStatus("c"))).toBe(false);
  });
});

describe("matchesFilter", () => {
  it.each([
    ["a/b", "a/b", true],
    ["a/b", "a/b/c", false],
    ["a/+", "a/b", true],
    ["a/+", "a", false],
    ["a/+", "a/", true],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["#", "a/b", true],
    ["#", "$SYS/load", false],
    ["+/load", "$SYS/load", false],
    ["$SYS/#", "$SYS/load", true],
    ["/a", "a", false],
    ["+/a", "/a", true],
  ])("%s against %s: %s", (filter, topic, expected) => {
    expect(matchesFilter(filter, topic)).toBe(expected);
  });
});

import { describe, expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { LoopLag } from "../../../src/ops/loop-lag.ts";
import { metricTable } from "../../../src/ops/metric-table.ts";
import { type MetricSources, Metrics } from "../../../src/ops/metrics.ts";

const linesOf = async (metrics: Metrics) =>
  (await metrics.render()).split("\n").filter((line) => !line.startsWith("#"));

const metricsOf = (sources: MetricSources) => new Metrics({ sources, log: silentLog });

describe("metrics", () => {
  it("shows plain counters as they stand when asked, not as they stood before", async () => {
    const counters = { received: 5, dropped: new Map([["budget", 2]]) };
    let reads = 0;
    const metrics = metricsOf({
      tidegate_messages_received_total: () => {
        reads++;
        return [[["env"], counters.received]];
      },
      *tidegate_readings_dropped_total() {
        for (const [reason, count] of counters.dropped) yield [["env", reason], count] as const;
      },
    });
    expect(reads).toBe(0);
    expect(await linesOf(metrics)).toContain('tidegate_messages_received_total{stream="env"} 5');
    counters.received = 7;
    counters.dropped.set("age", 1);
    const lines = await linesOf(metrics);
    expect(lines).toContain('tidegate_messages_received_total{stream="env"} 7');
    expect(lines).toContain('tidegate_readings_dropped_total{stream="env",reason="age"} 1');
    counters.dropped.delete("budget");
    expect((await linesOf(metrics)).join()).not.toContain("budget");
    expect(reads).toBe(3);
  });

  it("renders numbers without labels, types and help", async () => {
    const metrics = metricsOf({ tidegate_buffer_bytes: () => 4096, tidegate_commit_failures_total: () => 0 });
    const text = await metrics.render();
    expect(text).toContain("# TYPE tidegate_buffer_bytes gauge\ntidegate_buffer_bytes 4096\n");
    expect(text).toContain("# TYPE tidegate_commit_failures_total counter\ntidegate_commit_failures_total 0\n");
    expect(metrics.contentType).toContain("text/plain");
  });

  it("keeps names of streams and models in their quotes, whatever they are", async () => {
    const metrics = metricsOf({ tidegate_link_connected: () => [[['a"b\nc\\d'], 1]] });
    expect(await linesOf(metrics)).toContain('tidegate_link_connected{link="a\\"b\\nc\\\\d"} 1');
  });

  it("leaves out a source that fails, half-way too, counts it, and shows the others", async () => {
    const metrics = metricsOf({
      *tidegate_outbox_messages() {
        yield [["alarm"], 1] as const;
        throw new Error("the journal is gone");
      },
      tidegate_buffer_bytes: () => 1,
      tidegate_disk_free_bytes: () => Number.NaN,
      tidegate_disk_written_bytes_total: () => -1,
    });
    await metrics.render();
    const lines = await linesOf(metrics);
    expect(lines.join()).not.toMatch(/lane=|NaN|-1/);
    expect(lines).toContain("tidegate_buffer_bytes 1");
    expect(lines.find((line) => line.startsWith("tidegate_scrape_failures_total"))).toMatch(/ [12]$/);
  });

  it("observes durations in buckets by label", async () => {
    const metrics = metricsOf({});
    const observe = metrics.observer("tidegate_inference_duration_seconds", ["mote"]);
    for (const seconds of [0.0001, 0.003, 0.003, 99, Number.NaN]) observe(seconds);
    metrics.observer("tidegate_inference_duration_seconds", ["other"])(1);
    const lines = await linesOf(metrics);
    expect(lines).toContain('tidegate_inference_duration_seconds_bucket{le="0.005",model="mote"} 3');
    expect(lines).toContain('tidegate_inference_duration_seconds_count{model="mote"} 4');
    expect(lines).toContain('tidegate_inference_duration_seconds_count{model="other"} 1');
  });

  it("follows the rules of naming: one prefix, base units, a reason on every loss", () => {
    for (const [name, { type, labels, help }] of Object.entries(metricTable)) {
      expect(name).toMatch(/^tidegate_[a-z_]+$/);
      expect(name.endsWith("_total")).toBe(type === "counter");
      expect(name).not.toMatch(/_(ms|milliseconds|kib|mb)(_|$)/);
      if (/dropped|dead_letters/.test(name)) expect(labels).toContain("reason");
      expect(help).toMatch(/^[A-Z0-9].*\.$/);
    }
  });
});

describe("the lag of the loop", () => {
  it("is near nothing when idle and tells of a blocked thread, seconds", async () => {
    const lag = new LoopLag();
    lag.start();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const idle = lag.value.p50;
    const end = performance.now() + 150;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const { max } = lag.value;
    lag.stop();
    expect(idle).toBeLessThan(0.02);
    expect(max).toBeGreaterThan(0.1);
    expect(max).toBeLessThan(1);
  });

  it("forgets what is longer ago than two windows", async () => {
    const lag = new LoopLag(60);
    lag.start();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const end = performance.now() + 200;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 5));
    const blocked = lag.value.max;
    await expect.poll(() => lag.value.max).toBeLessThan(blocked / 2);
    lag.stop();
    expect(blocked).toBeGreaterThan(0.1);
  });
});

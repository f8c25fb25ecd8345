import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

function tidegate(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done) => {
    const child = spawn("sh", ["bin/tidegate", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.on("data", (text: Buffer) => {
      out += text.toString();
    });
    child.stderr.on("data", (text: Buffer) => {
      err += text.toString();
    });
    child.on("close", (code) => done({ code, out, err }));
  });
}

const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith("tidegate-demo-"));

describe("tidegate demo", () => {
  it("replays all real readings through brokers, gateway and sink, and finds both events without crying wolf", {
    timeout: 120_000,
  }, async () => {
    const before = leftovers();
    const { code, out, err } = await tidegate("demo", "--duration", "40s", "--speed", "0", "--json");
    expect(code, err).toBe(0);
    const summary = JSON.parse(out.trim().split("\n").at(-1) ?? "");
    expect(summary).toMatchObject({
      readings: 18_914,
      // The first 15 readings of each mote fill its window.
      inferences: 18_914 - 4 * 15,
      events: { labelled: 2, found: 2 },
      normalReadings: 18_765,
      oneLiner: { events: { labelled: 2, found: 2 } },
    });
    expect(summary.falseEpisodes).toBeLessThanOrEqual(4);
    expect(summary.blocks).toBeGreaterThan(0);
    expect(summary.bytesPerReading).toBeLessThanOrEqual(6);
    expect(summary.uplinked).toBeGreaterThan(0);
    expect(summary.durationMs).toBeGreaterThan(0);
    expect(summary.memoryMB).toBeGreaterThan(0);
    expect(leftovers()).toEqual(before);
  });

  it("ends by itself when its time is over, with what it has", { timeout: 60_000 }, async () => {
    const start = performance.now();
    const { code, out } = await tidegate("demo", "--duration", "4s", "--speed", "1000", "--json");
    expect(code).toBe(0);
    expect(performance.now() - start).toBeLessThan(20_000);
    const summary = JSON.parse(out.trim().split("\n").at(-1) ?? "");
    expect(summary.readings).toBeGreaterThan(0);
    expect(summary.readings).toBeLessThan(18_914);
  });

  it("tells what is wrong with an option", async () => {
    const { code, err } = await tidegate("demo", "--duration", "soon");
    expect(code).toBe(64);
    expect(err).toContain("--duration");
  });
});

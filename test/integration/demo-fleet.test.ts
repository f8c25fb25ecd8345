import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../..");

function tidegate(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done) => {
    const child = spawn("sh", ["bin/tidegate", ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const told = { out: "", err: "" };
    child.stdout.on("data", (text: Buffer) => {
      told.out += text.toString();
    });
    child.stderr.on("data", (text: Buffer) => {
      told.err += text.toString();
    });
    child.on("close", (code) => done({ code, ...told }));
  });
}

const lastLine = (text: string) => JSON.parse(text.trim().split("\n").at(-1) ?? "");
const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith("tidegate-fleet-"));

describe("tidegate demo --fleet", () => {
  it("learns y = 3x + 2 from pieces of the line, none of which tells it alone", { timeout: 120_000 }, async () => {
    const before = leftovers();
    const { code, out, err } = await tidegate("demo", "--fleet", "4", "--scenario", "linear", "--json");
    expect(code, err).toBe(0);
    const { rounds, metrics, predictions, intercept, slope } = lastLine(out);
    expect(slope).toBeCloseTo(3, 1);
    expect(intercept).toBeCloseTo(2, 0);
    expect(predictions).toHaveLength(5);
    for (const [i, y] of predictions.entries()) expect(Math.abs(y - (3 * (i + 1) + 2))).toBeLessThan(0.25);
    expect(rounds).toHaveLength(20);
    expect(rounds[0]).toMatchObject({ round: 1, denseBytes: 4 * 2 * 4 });
    expect(metrics.federated).toBeLessThan(metrics.local / 2);
    expect(metrics.federated).toBeLessThan(1.2 * metrics.centralized);
    expect(leftovers()).toEqual(before);
  });

  it("lets whole gateways learn mote-anomaly anew, while the shipped version finds the events", {
    timeout: 300_000,
  }, async () => {
    const { code, out, err } = await tidegate("demo", "--fleet", "2", "--rounds", "2", "--json");
    expect(code, err).toBe(0);
    const told = lastLine(out);
    expect(told).toMatchObject({ readings: 14_183, events: { labelled: 2, found: 2 } });
    expect(told.rounds.map(({ round }: { round: number }) => round)).toEqual([1, 2]);
    expect(told.rounds[1].loss).toBeLessThan(told.rounds[0].loss);
    expect(told.rounds[0].bytesUp).toBeGreaterThan(0);
    expect(Object.keys(told.metrics).sort()).toEqual(["centralized", "federated", "local"]);
  });

  it("says which scenarios there are", async () => {
    const { code, err } = await tidegate("demo", "--fleet", "--scenario", "cats");
    expect(code).not.toBe(0);
    expect(err).toMatch(/motes, linear/);
  });
});

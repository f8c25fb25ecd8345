import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readDisk, readMemory, readProcess, readTemperature } from "../../../src/drivers/host.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "host-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function put(path: string, text: string): void {
  mkdirSync(join(folder, path, ".."), { recursive: true });
  writeFileSync(join(folder, path), text);
}

describe("the host", () => {
  it("tells the figures of this process as Node knows them", () => {
    const end = performance.now() + 60;
    while (performance.now() < end);
    const figures = readProcess(process.pid);
    const { user, system } = process.cpuUsage();
    expect(Math.abs((figures?.cpuSeconds ?? 0) - (user + system) / 1e6)).toBeLessThan(0.1);
    expect((figures?.residentBytes ?? 0) / process.memoryUsage.rss()).toBeCloseTo(1, 0);
  });

  it("reads past a name with spaces and brackets, and takes off what was never written", () => {
    const fields = ["S", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 250, 150, 0, 0];
    put("42/stat", `42 (a) b (c)) ${fields.join(" ")}`);
    put("42/status", "Name:\ta\nVmRSS:\t    2048 kB\n");
    put("42/io", "wchar: 9\nwrite_bytes: 5000\ncancelled_write_bytes: 1000\n");
    expect(readProcess(42, folder)).toEqual({ residentBytes: 2 ** 21, cpuSeconds: 4, writtenBytes: 4000 });
  });

  it("says nothing of a process that has ended, and less where the kernel hides it", async () => {
    const child = spawn("true");
    await new Promise((resolve) => child.once("close", resolve));
    expect(readProcess(child.pid ?? 0)).toBeNull();
    put("7/stat", "7 (x) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0");
    put("7/status", "Name:\tx\n");
    expect(readProcess(7, folder)).toEqual({ residentBytes: 0, cpuSeconds: 0.02, writtenBytes: null });
  });

  it("tells memory and disk, and nothing where there is none to tell", () => {
    const memory = readMemory();
    expect(memory?.availableBytes).toBeGreaterThan(0);
    expect(memory?.totalBytes).toBeGreaterThan(memory?.availableBytes ?? 0);
    expect(readMemory(folder)).toBeNull();
    const disk = readDisk(folder);
    expect(disk.totalBytes).toBeGreaterThanOrEqual(disk.freeBytes);
    expect(disk.freeBytes).toBeGreaterThan(0);
  });

  it("tells the hottest sensor, and none of those that are off", () => {
    expect(readTemperature(join(folder, "none"))).toBeNull();
    put("thermal_zone0/temp", "41500\n");
    put("thermal_zone1/temp", "-274000\n");
    put("thermal_zone2/temp", "");
    put("thermal_zone3/temp", "55250\n");
    mkdirSync(join(folder, "thermal_zone4"));
    put("cooling_device0/temp", "99000\n");
    expect(readTemperature(folder)).toBe(55.25);
  });
});

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readPower } from "../../../src/drivers/host.ts";
import { closedGate } from "../../../src/train/gates.ts";
import { emptyFolder } from "../../support/started-host.ts";

const well = { celsius: 50, freeBytes: 2 ** 30, load: 0.2, isOnBattery: false };
const limits = { maxCelsius: 75, minFreeBytes: 2 ** 27, maxLoad: 1, onBattery: false };

test.each([
  [{}, null],
  [{ celsius: 76 }, /76 °C, at most 75/],
  [{ freeBytes: 2 ** 26 }, /64 MiB of memory are free, at least 128 MiB/],
  [{ load: 1.25 }, /load is 1\.[23] per core/],
  [{ isOnBattery: true }, /battery/],
  [{ celsius: null, freeBytes: null }, null],
])("with %j", (differing, reason) => {
  const closed = closedGate({ ...well, ...differing }, limits, false);
  if (reason === null) expect(closed).toBeNull();
  else expect(closed).toMatch(reason);
});

test("what was too hot cools down by some degrees before it goes on", () => {
  expect(closedGate({ ...well, celsius: 74 }, limits, false)).toBeNull();
  expect(closedGate({ ...well, celsius: 74 }, limits, true)).toMatch(/at most 70/);
  expect(closedGate({ ...well, celsius: 69 }, limits, true)).toBeNull();
});

test("limits that are not set do not limit", () => {
  expect(closedGate({ celsius: 120, freeBytes: 1, load: 99, isOnBattery: true }, {}, false)).toBeNull();
});

test("where power comes from, as the kernel tells it", () => {
  const dir = emptyFolder();
  const supply = (name: string, files: Record<string, string>) => {
    mkdirSync(join(dir, name), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, name, file), `${text}\n`);
  };
  expect(readPower(join(dir, "none"))).toBeNull();
  expect(readPower(dir)).toBeNull();
  supply("BAT0", { type: "Battery", status: "Discharging" });
  expect(readPower(dir)).toBe("battery");
  supply("AC", { type: "Mains", online: "1" });
  expect(readPower(dir)).toBe("mains");
});

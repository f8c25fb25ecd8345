import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  adoptMachine,
  bindMachine,
  checkMachine,
  type MachineFacts,
  machineDifference,
  machineFacts,
} from "../../../src/crypto/machine.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-machine-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const put = (file: string, text: string) => {
  mkdirSync(dirname(join(dir, file)), { recursive: true });
  writeFileSync(join(dir, file), text);
};
const port = (name: string, on: string, address: string, assigned = "0") => {
  put(`sys/devices/${on}/net/${name}/address`, `${address}\n`);
  put(`sys/devices/${on}/net/${name}/addr_assign_type`, `${assigned}\n`);
  mkdirSync(join(dir, "sys/class/net"), { recursive: true });
  symlinkSync(join(dir, `sys/devices/${on}`), join(dir, `sys/devices/${on}/net/${name}/device`));
  symlinkSync(join(dir, `sys/devices/${on}/net/${name}`), join(dir, `sys/class/net/${name}`));
};
const machineId = "0123456789abcdef0123456789abcdef";

describe("what tells a device from another", () => {
  it("is the board's serial number, the system's id and the built-in network interfaces", () => {
    put("sys/firmware/devicetree/base/serial-number", "10000000abcdef01\0");
    put("etc/machine-id", `${machineId}\n`);
    port("eth0", "platform/fd580000.ethernet", "dc:a6:32:00:00:01");
    port("wlan0", "pci/usb1/1-1", "00:11:22:33:44:55");
    port("veth1", "virtual", "02:00:00:00:00:01", "1");
    expect(machineFacts(dir)).toEqual({ serial: "10000000abcdef01", machineId, ports: ["dc:a6:32:00:00:01"] });
  });

  it("is nothing where nothing is known, nor an id that an image carries before its first boot", () => {
    expect(machineFacts(dir)).toEqual({});
    put("etc/machine-id", "uninitialized\n");
    put("sys/firmware/devicetree/base/serial-number", "0000000000000000\0");
    expect(machineFacts(dir)).toEqual({});
  });

  it.each<[string, MachineFacts, MachineFacts, string | null]>([
    ["a copied card", { serial: "a", machineId: "m" }, { serial: "b", machineId: "m" }, "serial number"],
    ["a system installed anew on its board", { serial: "a", machineId: "m" }, { serial: "a", machineId: "n" }, null],
    ["another system, boards unknown", { machineId: "m" }, { machineId: "n" }, "machine id"],
    [
      "a copied disk, boards unknown",
      { machineId: "m", ports: ["1"] },
      { machineId: "m", ports: ["2"] },
      "network interfaces",
    ],
    ["one interface more", { machineId: "m", ports: ["1"] }, { machineId: "m", ports: ["1", "2"] }, null],
    ["no interface any more", { machineId: "m", ports: ["1"] }, { machineId: "m" }, null],
    ["a board that only root could read", { board: "a", machineId: "m" }, { machineId: "m" }, null],
    ["nothing in common", { serial: "a" }, { machineId: "m" }, null],
  ])("%s", (_name, kept, here, difference) => {
    expect(machineDifference(kept, here)).toBe(difference);
  });
});

describe("keys and their device", () => {
  const storageRoot = new Uint8Array(32).fill(7, 3);
  const here = { serial: "first board", machineId };
  const there = { serial: "second board", machineId };
  const place = () => ({ dataDir: dir, storageRoot });

  it("belong together from the first start on; a copy is refused until it is adopted", () => {
    expect(() => checkMachine(place(), here)).not.toThrow();
    bindMachine(place(), here);
    bindMachine(place(), here);
    for (const look of [checkMachine, bindMachine])
      expect(() => look(place(), there)).toThrow(
        expect.objectContaining({ code: "MACHINE_CHANGED", exit: 78, help: expect.stringContaining("keys adopt") }),
      );
    adoptMachine(place(), there);
    bindMachine(place(), there);
    expect(() => bindMachine(place(), here)).toThrow(expect.objectContaining({ code: "MACHINE_CHANGED" }));
  });

  it("are kept together by hashes that tell nothing of the device", () => {
    bindMachine(place(), here);
    const file = join(dir, "keys", "machine.json");
    for (const fact of Object.values(here)) expect(readFileSync(file, "utf8")).not.toContain(fact);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeFileSync(file, "{}");
    expect(() => bindMachine(place(), here)).toThrow(expect.objectContaining({ code: "KEY_DAMAGED", exit: 78 }));
  });

  it("learn a fact later, and keep one that this user cannot read", () => {
    bindMachine(place(), { machineId });
    bindMachine(place(), { machineId, board: "b" });
    bindMachine(place(), { machineId });
    expect(() => bindMachine(place(), { machineId, board: "c" })).toThrow(/board differs/);
  });
});

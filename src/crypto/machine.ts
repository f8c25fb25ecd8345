import { createHmac } from "node:crypto";
import { readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf } from "./key-file.ts";
import { replaceInKeys } from "./key-store.ts";
import { deriveKey } from "./sealing.ts";

/**
 * What tells one device from another. A card that is copied whole takes `/etc/machine-id` with it, so the board counts
 * before the system: `serial` of the device tree (Raspberry Pi, Jetson), `board` (DMI; only root may read it), `ports`
 * (built-in network interfaces).
 */
export type MachineFacts = {
  readonly serial?: string;
  readonly board?: string;
  readonly machineId?: string;
  readonly ports?: readonly string[];
};

/** The same, as keyed hashes: what is kept beside the keys tells nothing of the device. */
type MachineRecord = { readonly format: typeof format; readonly facts: MachineFacts };

const format = "tidegate-machine/1";
const fileName = "machine.json";

const line = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8").replaceAll("\0", "").trim() || undefined;
  } catch {
    return undefined;
  }
};

/** Reads what there is to read of this device. @param root  of the file system, for tests */
export function machineFacts(root = "/"): MachineFacts {
  const serial = line(join(root, "sys/firmware/devicetree/base/serial-number"));
  const board = line(join(root, "sys/class/dmi/id/product_uuid"));
  const machineId = line(join(root, "etc/machine-id"));
  const ports = builtInPorts(join(root, "sys/class/net"));
  return {
    ...(serial && /[1-9a-f]/i.test(serial) ? { serial } : {}),
    ...(board ? { board } : {}),
    ...(machineId && /^[0-9a-f]{32}$/.test(machineId) ? { machineId } : {}),
    ...(ports.length > 0 ? { ports } : {}),
  };
}

/** Permanent addresses of network interfaces on a bus of the board; what hangs on USB comes and goes. */
function builtInPorts(dir: string): string[] {
  let names: string[];
  try {
    names = readdirSync(dir).sort();
  } catch {
    return [];
  }
  return names.flatMap((name) => {
    try {
      if (/\/usb\d/.test(realpathSync(join(dir, name, "device")))) return [];
    } catch {
      return [];
    }
    const isPermanent = line(join(dir, name, "addr_assign_type")) === "0";
    const address = line(join(dir, name, "address"));
    return isPermanent && address ? [address] : [];
  });
}

function hashed(facts: MachineFacts, storageRoot: Uint8Array): MachineFacts {
  const key = deriveKey(storageRoot, "tidegate/machine/1");
  const mac = (name: string, text: string) =>
    createHmac("sha256", key).update(`${name}\0${text}`).digest("hex").slice(0, 32);
  const { serial, board, machineId, ports } = facts;
  return {
    ...(serial === undefined ? {} : { serial: mac("serial", serial) }),
    ...(board === undefined ? {} : { board: mac("board", board) }),
    ...(machineId === undefined ? {} : { machineId: mac("machineId", machineId) }),
    ...(ports === undefined ? {} : { ports: ports.map((port) => mac("port", port)) }),
  };
}

/**
 * By what two devices differ; null when they are the same one, or nothing tells them apart. The board decides where both
 * sides know it: a system that is installed anew on the same board is the same device.
 */
export function machineDifference(kept: MachineFacts, here: MachineFacts): string | null {
  for (const [name, what] of [
    ["serial", "serial number"],
    ["board", "board"],
  ] as const)
    if (kept[name] !== undefined && here[name] !== undefined) return kept[name] === here[name] ? null : what;
  if (kept.machineId !== undefined && here.machineId !== undefined && kept.machineId !== here.machineId)
    return "machine id";
  const [before, now] = [kept.ports ?? [], here.ports ?? []];
  const areStrange = before.length > 0 && now.length > 0 && !before.some((port) => now.includes(port));
  return areStrange ? "network interfaces" : null;
}

function readRecord(dataDir: string): MachineFacts | null {
  const file = join(dataDir, "keys", fileName);
  try {
    const record = JSON.parse(readFileSync(file, "utf8")) as Partial<MachineRecord> | null;
    if (record?.format !== format || typeof record.facts !== "object") throw new Error(`it is not of ${format}`);
    return record.facts;
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return null;
    throw new TidegateError("KEY_DAMAGED", { file, reason: reasonOf(cause) }, { cause });
  }
}

type Place = { readonly dataDir: string; readonly storageRoot: Uint8Array };

/**
 * Notices keys and data that were copied to another device.
 * @throws TidegateError MACHINE_CHANGED (78)
 */
export function checkMachine({ dataDir, storageRoot }: Place, facts = machineFacts()): void {
  const kept = readRecord(dataDir);
  const what = kept && machineDifference(kept, hashed(facts, storageRoot));
  if (what) throw new TidegateError("MACHINE_CHANGED", { dir: dataDir, what });
}

/** Writes down that these keys are this device's, whoever's they were. @throws TidegateError KEY_UNWRITABLE */
export const adoptMachine = ({ dataDir, storageRoot }: Place, facts = machineFacts()): void =>
  writeRecord(dataDir, hashed(facts, storageRoot));

function writeRecord(dataDir: string, facts: MachineFacts): void {
  const record: MachineRecord = { format, facts };
  replaceInKeys(dataDir, fileName, `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * What a daemon does at its start: refuses another device's keys, writes down its own where nothing is kept, or what has
 * become known since.
 * @throws TidegateError MACHINE_CHANGED, KEY_DAMAGED, KEY_UNWRITABLE
 */
export function bindMachine(place: Place, facts = machineFacts()): void {
  checkMachine(place, facts);
  const kept = readRecord(place.dataDir);
  // A fact that only root may read stays when another user starts.
  const known = { ...kept, ...hashed(facts, place.storageRoot) };
  if (JSON.stringify(known) !== JSON.stringify(kept)) writeRecord(place.dataDir, known);
}

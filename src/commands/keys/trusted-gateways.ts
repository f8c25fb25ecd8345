import { existsSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "../../base/durable-file.ts";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { readTrustedKeys, type TrustedKeys } from "../../coordinator/gateway-trust.ts";
import { replaceFile } from "../config/edited-file.ts";

const fileIn = (dataDir: string): string => join(dataDir, "trusted.json");

/** Lets a key sign for a gateway (`fleet/gateway`) at a sink. @returns false when it did already */
export async function trustGateway(dataDir: string, name: string, key: string): Promise<boolean> {
  const trusted = readTrustedKeys(fileIn(dataDir));
  const keys = trusted[name] ?? [];
  if (keys.includes(key)) return false;
  await write(dataDir, { ...trusted, [name]: [...keys, key] });
  return true;
}

/**
 * Lets a key, or any, no longer sign for a gateway. The gateway stays named, without keys: else whoever comes next would
 * be trusted on first use.
 * @returns false when it did not
 */
export async function revokeGateway(dataDir: string, name: string, key: string | undefined): Promise<boolean> {
  const trusted = readTrustedKeys(fileIn(dataDir));
  const before = trusted[name];
  const kept = key === undefined ? [] : (before ?? []).filter((each) => each !== key);
  if (before !== undefined && kept.length === before.length) return false;
  await write(dataDir, { ...trusted, [name]: kept });
  return true;
}

async function write(dataDir: string, gateways: TrustedKeys): Promise<void> {
  const file = fileIn(dataDir);
  const text = `${JSON.stringify({ gateways }, null, 2)}\n`;
  if (existsSync(file)) return replaceFile(file, text);
  try {
    await writeDurably(file, text, 0o644);
  } catch (cause) {
    throw new TidegateError("FILE_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

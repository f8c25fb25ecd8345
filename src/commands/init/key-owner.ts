import { chownSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Keys that root made belong to the user of the data directory: the service would refuse to use another's.
 * Does nothing for any user but root, who alone may give files away.
 */
export function giveToOwner(dataDir: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(dataDir);
  if (uid === 0) return;
  const dir = join(dataDir, "keys");
  for (const file of [dir, ...readdirSync(dir).map((name) => join(dir, name))]) chownSync(file, uid, gid);
}

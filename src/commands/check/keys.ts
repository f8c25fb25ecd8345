import { statSync } from "node:fs";
import { dirname } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { findKey, isEmptyDataDir, keyNames } from "../../crypto/key-ring.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";
import { nearestFolder } from "./storage.ts";

/** Whether the keys can be used, and whether they lie where a thief of the disk finds them beside the data. */
export function checkKeys(dataDir: string, credentialsDir?: string): Finding {
  const name = "keys";
  try {
    const found = keyNames.map((key) => findKey({ dataDir, credentialsDir }, key));
    const missing = found.filter(({ key }) => key === null).map(({ file }) => file);
    if (missing.length > 0 && !isEmptyDataDir(dataDir))
      throw new TidegateError("KEY_MISSING", { dir: dataDir, file: missing.join(", ") });
    if (missing.length > 0)
      return warn(
        name,
        `not there yet: ${missing.join(", ")}`,
        "The first `tidegate run` makes them, or `tidegate init`.",
      );
    const { dev } = statSync(nearestFolder(dataDir));
    const beside = found.filter(({ file }) => statSync(file).dev === dev).map(({ file }) => dirname(file));
    if (beside.length === 0) return ok(name, `${keyNames.join(", ")}: apart from the data`);
    return warn(
      name,
      `on the same disk as the data (${[...new Set(beside)].join(", ")}): whoever takes the disk can read everything`,
      "Hand them over as systemd credentials (LoadCredentialEncrypted= with a TPM), or keep them on another medium; and back them up: `tidegate keys backup`.",
    );
  } catch (thrown) {
    return fail(name, thrown);
  }
}

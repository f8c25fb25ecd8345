import { statSync } from "node:fs";
import { dirname } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { findKey, isEmptyDataDir, keyNames } from "../../crypto/key-ring.ts";
import { sealedFile } from "../../crypto/key-store.ts";
import { checkMachine } from "../../crypto/machine.ts";
import { givenPlace } from "../keys/passphrase.ts";
import type { Io } from "../verb.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";
import { nearestFolder } from "./storage.ts";

/** Whether the keys can be used, and whether they lie where a thief of the disk finds them beside the data. */
export function checkKeys(io: Pick<Io, "env">, dataDir: string): Finding {
  const name = "keys";
  try {
    const place = givenPlace(io, dataDir);
    const found = keyNames.map((key) => findKey(place, key));
    const missing = found.filter(({ key }) => key === null).map(({ file }) => file);
    if (missing.length > 0 && !isEmptyDataDir(dataDir))
      throw new TidegateError("KEY_MISSING", { dir: dataDir, file: missing.join(", ") });
    if (missing.length > 0)
      return warn(
        name,
        `not there yet: ${missing.join(", ")}`,
        "The first `tidegate run` makes them, or `tidegate init`.",
      );
    const [storage] = found;
    if (storage?.key) checkMachine({ dataDir, storageRoot: storage.key });
    if (found.every(({ file }) => file === sealedFile(dataDir)))
      return ok(name, `${keyNames.join(", ")}: under a passphrase`);
    const { dev } = statSync(nearestFolder(dataDir));
    const beside = found.filter(({ file }) => statSync(file).dev === dev).map(({ file }) => dirname(file));
    if (beside.length === 0) return ok(name, `${keyNames.join(", ")}: apart from the data`);
    return warn(
      name,
      `on the same disk as the data (${[...new Set(beside)].join(", ")}): whoever takes the disk can read everything`,
      "Hand them over as systemd credentials (LoadCredentialEncrypted= with a TPM), put them under a passphrase, or keep them on another medium; and back them up: `tidegate keys backup`.",
    );
  } catch (thrown) {
    return fail(name, thrown);
  }
}

import { statSync } from "node:fs";
import { resolve } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { readKeyFile } from "../../crypto/key-file.ts";
import { type Signer, signerOf } from "../../crypto/signing.ts";

/** `--key FILE`, for verbs that sign: once for each signer that the policy asks for. */
export const signerOption = [
  "--key <file>",
  "signing key, such as ops/keys/signing.key of `tidegate keys new --data-dir ops`; again for each further signer",
  (file: string, before: string[]) => [...before, file],
  [] as string[],
] as const;

/**
 * The keys that sign for an operator.
 * @throws TidegateError USAGE when none is named or one is named twice, KEY_MISSING, KEY_UNREADABLE, KEY_DAMAGED
 */
export function signersOf(files: readonly string[]): Signer[] {
  if (files.length === 0) throw new TidegateError("USAGE", { detail: "name the key that signs: --key FILE" });
  const signers = files.map((name) => {
    const file = resolve(name);
    const owner = statSync(file, { throwIfNoEntry: false })?.uid;
    // Root may use the keys of those whom it serves; everybody else their own.
    const user = process.geteuid?.() ?? 0;
    const owners = user === 0 && owner !== undefined ? [0, owner] : [user];
    const key = readKeyFile(file, { owners, forbiddenMode: 0o077 });
    if (!key) throw new TidegateError("FILE_UNREADABLE", { file, reason: "there is no such file" });
    return signerOf(key);
  });
  if (new Set(signers.map(({ keyId }) => keyId)).size < signers.length)
    throw new TidegateError("USAGE", { detail: "--key names one key twice: each signer counts once" });
  return signers;
}

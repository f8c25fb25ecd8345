import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Document, isCollection, isMap, parseDocument } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { configInvalid } from "../../config/fault.ts";
import { loadConfig, readConfigText } from "../../config/load.ts";
import { type EffectiveValues, writtenValues } from "./effective-values.ts";
import { findModelFaults } from "./model-faults.ts";

export type Edit = {
  /** As the file had it; null when it had none. */
  readonly from: unknown;
  /** The configuration with the change. */
  readonly values: EffectiveValues;
};

/**
 * Changes a configuration file, at once or not at all. Comments and order of the rest stay. A change is refused when the
 * file would have faults; faults between streams and models only when the change brings them, since to mend one may take
 * several steps.
 *
 * @param change  works on the document; false: there is nothing to change
 * @throws TidegateError CONFIG_INVALID when the changed file would have faults, CONFIG_MISSING, FILE_UNREADABLE,
 *   FILE_UNWRITABLE
 */
export async function editFile(
  file: string,
  path: string,
  env: Readonly<Record<string, string | undefined>>,
  change: (document: Document, keys: readonly string[]) => boolean,
): Promise<Edit> {
  const keys = path.split(".");
  const text = readConfigText(file);
  const document = parseDocument(text, { merge: true });
  // What is no map of keys cannot be changed in place; loading it names the faults.
  const isMapped = document.contents === null || isMap(document.contents);
  if (document.errors.length > 0 || !isMapped) loadConfig({ file, text, env });
  const node = document.getIn(keys);
  const from: unknown = (isCollection(node) ? node.toJSON() : node) ?? null;
  if (!change(document, keys)) return { from, values: writtenValues(loadConfig({ file, text, env })) };
  const changed = document.toString({ lineWidth: 0 });
  const loaded = loadConfig({ file, text: changed, env });
  const faults = await findModelFaults(loaded, changed);
  if (faults.length > 0) {
    const before = await modelFaultsOf(file, text, env);
    const brought = faults.filter(({ message }) => !before.includes(message));
    if (brought.length > 0) throw configInvalid(file, brought);
  }
  replaceFile(file, changed);
  return { from, values: writtenValues(loaded) };
}

/** What is wrong between streams and models already; nothing of a file that has other faults. */
async function modelFaultsOf(file: string, text: string, env: Readonly<Record<string, string | undefined>>) {
  try {
    return (await findModelFaults(loadConfig({ file, text, env }), text)).map(({ message }) => message);
  } catch (thrown) {
    if (thrown instanceof TidegateError) return [];
    throw thrown;
  }
}

/** Puts a file in place of another with the same owner and mode: whoever reads it sees the old text or the new one. */
export function replaceFile(file: string, text: string): void {
  let temporary: string | undefined;
  try {
    const target = realpathSync(file);
    const { mode, uid, gid } = statSync(target);
    temporary = join(dirname(target), `.${basename(target)}.${process.pid}`);
    const descriptor = openSync(temporary, "wx", 0o600);
    try {
      writeSync(descriptor, text);
      if (process.geteuid?.() === 0) fchownSync(descriptor, uid, gid);
      fchmodSync(descriptor, mode & 0o7777);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, target);
  } catch (cause) {
    if (temporary !== undefined) rmSync(temporary, { force: true });
    throw new TidegateError("FILE_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

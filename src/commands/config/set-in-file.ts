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
import { isCollection, isMap, parse, parseDocument } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { loadConfig, readConfigText } from "../../config/load.ts";
import { declaredAt } from "../../config/walk.ts";
import { writtenValues } from "./effective-values.ts";

export type Change = {
  readonly path: string;
  /** As the file had it; null when it had none. */
  readonly from: unknown;
  readonly to: unknown;
  /** What sets another value over the file's; null when the file decides. */
  readonly overriddenBy: "environment" | null;
};

/**
 * Changes one value of a configuration file, at once or not at all. Comments and order of the rest stay.
 *
 * @param given  text for texts, sizes and durations; else YAML
 * @throws TidegateError USAGE, CONFIG_INVALID when the changed file would have faults, CONFIG_MISSING, FILE_UNREADABLE,
 *   FILE_UNWRITABLE
 */
export function setInFile(
  file: string,
  path: string,
  given: string,
  env: Readonly<Record<string, string | undefined>>,
): Change {
  const keys = path.split(".");
  const to = readValue(keys, path, given);
  const text = readConfigText(file);
  const document = parseDocument(text, { merge: true });
  // What is no map of keys cannot be changed in place; loading it names the faults.
  const isMapped = document.contents === null || isMap(document.contents);
  if (document.errors.length > 0 || !isMapped) loadConfig({ file, text, env });
  const from = document.getIn(keys);
  const written: unknown = isCollection(from) ? from.toJSON() : from;
  openSections(document, keys);
  document.setIn(keys, document.createNode(to));
  const changed = document.toString({ lineWidth: 0 });
  const { byPath } = writtenValues(loadConfig({ file, text: changed, env }));
  replaceFile(file, changed);
  const isOverridden = Object.entries(byPath).some(
    ([name, { origin }]) => origin === "environment" && (name === path || name.startsWith(`${path}.`)),
  );
  return { path, from: written ?? null, to, overriddenBy: isOverridden ? "environment" : null };
}

function readValue(keys: readonly string[], path: string, given: string): unknown {
  const { meta } = declaredAt(keys);
  const parent = declaredAt(keys.slice(0, -1));
  if (!meta && !parent.meta?.entry) {
    const nearest = nearestName(keys.at(-1) ?? "", parent.keys);
    const known = parent.keys.join(", ");
    const hint = nearest ? `did you mean ${nearest}?` : known ? `known here are ${known}` : "its section is not known";
    throw new TidegateError("USAGE", { detail: `${path} is no key of the configuration: ${hint}` });
  }
  const words = meta?.json?.enum;
  if (Array.isArray(words) && words.includes(Number(given))) return Number(given);
  if (meta?.scalar !== undefined && meta.scalar !== "json") return given;
  try {
    return parse(given) as unknown;
  } catch (cause) {
    throw new TidegateError("USAGE", { detail: `the value of ${path} cannot be read: ${reasonOf(cause)}` }, { cause });
  }
}

/** A section that stands empty (`cloud:`), or in its short form (`timestamp: ts`), has to become one with keys. */
function openSections(document: ReturnType<typeof parseDocument>, keys: readonly string[]): void {
  for (let length = 1; length < keys.length; length++) {
    const at = keys.slice(0, length);
    const node = document.getIn(at);
    if (node === undefined || isCollection(node)) continue;
    const expanded = declaredAt(at).meta?.expand?.(node);
    document.setIn(at, document.createNode(typeof expanded === "object" && expanded !== null ? expanded : {}));
  }
}

/** Puts a file in place of another with the same owner and mode: whoever reads it sees the old text or the new one. */
function replaceFile(file: string, text: string): void {
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

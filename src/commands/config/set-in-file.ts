import { type Document, isCollection, parse } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { declaredAt } from "../../config/walk.ts";
import { editFile } from "./edited-file.ts";

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
export async function setInFile(
  file: string,
  path: string,
  given: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Change> {
  const to = readValue(path.split("."), path, given);
  const { from, values } = await editFile(file, path, env, (document, keys) => {
    openSections(document, keys);
    document.setIn(keys, document.createNode(to));
    return true;
  });
  const isOverridden = Object.entries(values.byPath).some(
    ([name, { origin }]) => origin === "environment" && (name === path || name.startsWith(`${path}.`)),
  );
  return { path, from, to, overriddenBy: isOverridden ? "environment" : null };
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
function openSections(document: Document, keys: readonly string[]): void {
  for (let length = 1; length < keys.length; length++) {
    const at = keys.slice(0, length);
    const node = document.getIn(at);
    if (node === undefined || isCollection(node)) continue;
    const expanded = declaredAt(at).meta?.expand?.(node);
    document.setIn(at, document.createNode(typeof expanded === "object" && expanded !== null ? expanded : {}));
  }
}

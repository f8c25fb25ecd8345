import { type Document, isMap } from "yaml";
import type { Origin } from "../../config/load.ts";
import { editFile } from "./edited-file.ts";

export type Removal = {
  readonly path: string;
  /** As the file had it; null when it had none. */
  readonly from: unknown;
  /** What is in force without it, and where that comes from; null when nothing is. */
  readonly inForce: { readonly value: unknown; readonly origin: Origin } | null;
};

/**
 * Takes a key or a section out of a configuration file, at once or not at all, so that profile or default decide again.
 * Comments and order of the rest stay; a section that is left with nothing goes, too.
 *
 * @throws TidegateError CONFIG_INVALID when the file would have faults without it, CONFIG_MISSING, FILE_UNREADABLE,
 *   FILE_UNWRITABLE
 */
export async function unsetInFile(
  file: string,
  path: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Removal> {
  const { from, values } = await editFile(file, path, env, remove);
  return { path, from, inForce: values.byPath[path] ?? null };
}

function remove(document: Document, keys: readonly string[]): boolean {
  if (!document.hasIn(keys)) return false;
  document.deleteIn(keys);
  for (let length = keys.length - 1; length > 0; length--) {
    const section = document.getIn(keys.slice(0, length));
    if (!isMap(section) || section.items.length > 0) break;
    document.deleteIn(keys.slice(0, length));
  }
  return true;
}

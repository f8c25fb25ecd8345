import { readFileSync } from "node:fs";
import { type Document, isMap, isSeq, parseDocument } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { parsePolicy } from "../../control/policy-text.ts";
import { replaceFile } from "../config/edited-file.ts";

/**
 * Gives a principal of a policy file one more key, and makes the principal where there is none. Comments stay.
 * @returns false when the key was there already
 * @throws TidegateError POLICY_INVALID when the policy would have faults, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export function trustPrincipal(file: string, name: string, key: string, roles: readonly string[]): boolean {
  return edit(file, (document) => {
    const keys = keysOf(document, name);
    const isThere = keys.includes(key);
    if (!isThere) document.setIn(["principals", name, "keys"], document.createNode([...keys, key], { flow: true }));
    const before = (document.toJS() as PolicyText).principals?.[name]?.roles ?? [];
    const added = roles.filter((role) => !before.includes(role));
    if (added.length > 0)
      document.setIn(["principals", name, "roles"], document.createNode([...before, ...added], { flow: true }));
    return !isThere || added.length > 0;
  });
}

/**
 * Takes a key from a principal; with the last one the principal goes, out of the rules, too.
 * @param key  absent: all of them
 * @returns false when there was no such key
 * @throws TidegateError POLICY_INVALID when nobody would be left who can undo it, FILE_UNREADABLE, FILE_UNWRITABLE
 */
export function revokePrincipal(file: string, name: string, key: string | undefined): boolean {
  return edit(file, (document) => {
    const keys = keysOf(document, name);
    const kept = key === undefined ? [] : keys.filter((each) => each !== key);
    if (kept.length === keys.length) return false;
    if (kept.length > 0) {
      document.setIn(["principals", name, "keys"], document.createNode(kept, { flow: true }));
      return true;
    }
    document.deleteIn(["principals", name]);
    forget(document, name);
    return true;
  });
}

type PolicyText = { principals?: Record<string, { keys?: string[]; roles?: string[] }> };

const keysOf = (document: Document, name: string): string[] =>
  (document.toJS() as PolicyText | null)?.principals?.[name]?.keys ?? [];

/** A rule that was for this principal alone goes with it. */
function forget(document: Document, name: string): void {
  const rules = document.get("rules");
  if (!isSeq(rules)) return;
  for (let at = rules.items.length - 1; at >= 0; at--) {
    const rule = rules.items[at];
    if (!isMap(rule)) continue;
    const named = rule.get("principals");
    if (!isSeq(named)) continue;
    const left = (named.toJSON() as unknown[]).filter((each) => each !== name);
    if (left.length === named.items.length) continue;
    if (left.length > 0) rule.set("principals", document.createNode(left, { flow: true }));
    else if (rule.has("roles")) rule.delete("principals");
    else rules.delete(at);
  }
}

function edit(file: string, change: (document: Document) => boolean): boolean {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  // What has faults already is told by them, and changed by nobody but its author.
  parsePolicy(text, file);
  const document = parseDocument(text);
  if (!change(document)) return false;
  const changed = document.toString({ lineWidth: 0 });
  parsePolicy(changed, file);
  replaceFile(file, changed);
  return true;
}

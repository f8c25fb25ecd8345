import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { renderDuration } from "../base/units.ts";
import { type Fault, unknown } from "./fault.ts";
import type { OptionMeta } from "./option.ts";
import type { Profile } from "./profile.ts";
import { declaredAt, renderPath } from "./walk.ts";

/** A part of a configuration as it is written: sections, lists and plain values. */
export type Tree = { [key: string]: unknown };

export type Environment = Readonly<Record<string, string | undefined>>;

/** The defaults that a device profile brings. */
export function profileLayer(profile: Profile): Tree {
  const { threads, maxBatch, providers, commitMaxDelay, maxCelsius, trainingWindow } = profile;
  return {
    models: { threads, maxBatch, providers },
    buffer: { commitMaxDelay: renderDuration(commitMaxDelay) },
    training: { maxCelsius, window: trainingWindow },
  };
}

/**
 * `TIDEGATE_SENSORS__URL` is `sensors.url`: keys are found whatever their case, and so are names that the file gave.
 * @param named  the file's own tree
 * @returns the layer, and the variable that set each path
 */
export function environmentLayer(
  env: Environment,
  named: Tree,
): { layer: Tree; setters: Map<string, string>; faults: Fault[] } {
  const [layer, setters, faults]: [Tree, Map<string, string>, Fault[]] = [{}, new Map(), []];
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("TIDEGATE_") || value === undefined) continue;
    // A name of one part may be meant for a verb, such as TIDEGATE_CONFIG; so only the keys of the top level are taken.
    if (!name.includes("__") && !plainKeys().includes(name.slice("TIDEGATE_".length).toLowerCase())) continue;
    const path: string[] = [];
    for (const part of name.slice("TIDEGATE_".length).split("__")) {
      const { keys, meta } = declaredAt(path);
      const known = meta?.entry ? Object.keys(at(named, path) ?? {}) : keys;
      const key = known.find((candidate) => candidate.toLowerCase() === part.toLowerCase());
      if (key === undefined && !meta?.entry) {
        const fault = unknown("key", part.toLowerCase(), keys);
        faults.push({ path: name, ...fault, message: `this environment variable names no key: ${fault.message}` });
        break;
      }
      path.push(key ?? part.toLowerCase());
    }
    if (faults.at(-1)?.path === name) continue;
    setters.set(renderPath(path), name);
    put(layer, path, read(value, declaredAt(path).meta?.scalar));
  }
  return { layer, setters, faults };
}

/** Keys of the top level that are no sections, in lower case. */
function plainKeys(): string[] {
  return declaredAt([])
    .keys.filter((key) => declaredAt([key]).meta?.scalar !== undefined)
    .map((key) => key.toLowerCase());
}

/** Flags by path: `{"gateway.dataDir": "/tmp/x"}`. Those that are undefined were not given. */
export function flagLayer(flags: Readonly<Record<string, unknown>>): Tree {
  const layer: Tree = {};
  for (const [path, value] of Object.entries(flags)) if (value !== undefined) put(layer, path.split("."), value);
  return layer;
}

/** Lays one layer over another: sections are merged key by key, lists and plain values replace. */
export function merge(low: Tree, high: Tree): Tree {
  const merged: Tree = { ...low };
  for (const [key, value] of Object.entries(high)) {
    const below = Object.hasOwn(low, key) ? low[key] : undefined;
    merged[key] = isTree(below) && isTree(value) ? merge(below, value) : value;
  }
  return merged;
}

/** A written path made absolute; a secret of a plain name is the unit's credential of that name, if there is one. */
export function absolutePath(written: string, scalar: "path" | "secret", baseDir: string, env: Environment): string {
  const credentials = env.CREDENTIALS_DIRECTORY;
  if (scalar === "secret" && credentials !== undefined && basename(written) === written) {
    const file = join(credentials, written);
    if (existsSync(file)) return file;
  }
  return resolve(baseDir, written);
}

/** A plain object that is no list. */
export const isTree = (value: unknown): value is Tree =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const at = (tree: Tree, path: readonly string[]): Tree | undefined =>
  path.reduce<Tree | undefined>((inner, key) => {
    const next = inner?.[key];
    return isTree(next) ? next : undefined;
  }, tree);

function put(tree: Tree, path: readonly string[], value: unknown): void {
  let inner = tree;
  for (const key of path.slice(0, -1)) {
    const next = Object.hasOwn(inner, key) ? inner[key] : undefined;
    const section: Tree = isTree(next) ? next : {};
    inner[key] = section;
    inner = section;
  }
  inner[path.at(-1) ?? ""] = value;
}

/** Texts stay what they are; numbers, flags, lists and sections are written as JSON. */
function read(text: string, scalar: OptionMeta["scalar"]): unknown {
  if (scalar !== undefined && scalar !== "json") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

import { TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { renderDuration } from "../../base/units.ts";
import type { LoadedConfig, Origin } from "../../config/load.ts";
import type { OptionMeta } from "../../config/option.ts";
import { mapLeaves, renderPath, rootShape } from "../../config/walk.ts";

export type EffectiveValues = {
  /** The part that was asked for, in the form of the file. */
  readonly tree: unknown;
  /** The same leaf by leaf. */
  readonly byPath: Readonly<Record<string, { readonly value: unknown; readonly origin: Origin }>>;
};

/**
 * The configuration in force, with values in the form in which a file has them: what is printed can be loaded again.
 *
 * @param path  a key or a section; absent: everything
 * @throws TidegateError USAGE when there is nothing of this name
 */
export function writtenValues({ config, origins }: LoadedConfig, path?: string): EffectiveValues {
  const byPath: Record<string, { value: unknown; origin: Origin }> = {};
  const whole = mapLeaves(inOrder(config), (leaf, meta, at) => {
    const value = written(leaf, meta);
    const name = renderPath(at);
    if (isWithin(name, path)) byPath[name] = { value, origin: origins.get(name) ?? "default" };
    return value;
  });
  if (path === undefined) return { tree: whole, byPath };
  const tree = path.split(".").reduce<unknown>((inner, key) => {
    const isThere = typeof inner === "object" && inner !== null && Object.hasOwn(inner, key);
    return isThere ? (inner as Record<string, unknown>)[key] : undefined;
  }, whole);
  if (tree === undefined) throw absent(path, [...origins.keys()]);
  return { tree, byPath };
}

/** The sections in the order of the documentation, whatever that of the file. */
const inOrder = (config: LoadedConfig["config"]): unknown => {
  const sections = Object.entries(config);
  return Object.fromEntries(Object.keys(rootShape).flatMap((key) => sections.filter(([section]) => section === key)));
};

const isWithin = (name: string, path: string | undefined): boolean =>
  path === undefined || name === path || name.startsWith(`${path}.`);

function absent(path: string, paths: readonly string[]): TidegateError {
  const known = new Set(paths.flatMap((leaf) => leaf.split(".").map((_, i, keys) => keys.slice(0, i + 1).join("."))));
  const nearest = nearestName(path, [...known]);
  const hint = nearest ? `; did you mean ${nearest}?` : "; `tidegate config get` lists what has one";
  return new TidegateError("USAGE", { detail: `${path} has no value${hint}`, ...(nearest ? { nearest } : {}) });
}

const sizes = [
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
] as const;

/** Exactly as many bytes as there are: a rounded size would be another one when it is read again. */
function exactSize(bytes: number): string {
  const unit = sizes.find(([, factor]) => bytes >= factor && Number.isInteger(bytes / factor));
  return unit ? `${bytes / unit[1]}${unit[0]}` : `${bytes}B`;
}

function written(leaf: unknown, { unit, type }: OptionMeta): unknown {
  if (typeof leaf === "number" && unit === "ms") return renderDuration(leaf);
  if (typeof leaf === "number" && unit === "bytes") return exactSize(leaf);
  if (type === "percent or size" && typeof leaf === "object" && leaf !== null) {
    const { percent, bytes = 0 } = leaf as { percent?: number; bytes?: number };
    return percent === undefined ? exactSize(bytes) : `${percent}%`;
  }
  return leaf;
}

/** One line for each value: `buffer.maxBytes: 2GiB`, with its origin behind it when that is asked for. */
export function valueLines({ tree, byPath }: EffectiveValues, withOrigin: boolean): string[] {
  const entries = Object.entries(byPath);
  if (!withOrigin && (typeof tree !== "object" || tree === null)) return [text(tree)];
  const lines = entries.map(([path, { value }]) => `${path}: ${text(value)}`);
  if (!withOrigin) return lines;
  const width = Math.min(60, Math.max(0, ...lines.map((line) => line.length)));
  return entries.map(([, { origin }], i) => `${(lines[i] ?? "").padEnd(width)}  # ${origin}`);
}

const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));

export type Difference = { readonly path: string; readonly from?: unknown; readonly to?: unknown };

/** What has to change to come from `here` to `there`; null: from the defaults of this device to `here`. */
export function differences(here: LoadedConfig, there: LoadedConfig | null): Difference[] {
  const now = writtenValues(here).byPath;
  if (there === null)
    return Object.entries(now).flatMap(([path, { value, origin }]) =>
      origin === "default" || origin === "profile" ? [] : [{ path, to: value }],
    );
  const then = writtenValues(there).byPath;
  return [...new Set([...Object.keys(now), ...Object.keys(then)])].flatMap((path) => {
    const [from, to] = [now[path]?.value, then[path]?.value];
    if (JSON.stringify(from) === JSON.stringify(to)) return [];
    return [{ path, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) }];
  });
}

import type * as z from "zod";
import { metaOf, type OptionMeta, type Shape } from "./option.ts";
import { configSchema } from "./schema.ts";

export type Path = readonly (string | number)[];

/** How a path is written: `streams.env.transform[0].field`. */
export const renderPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) => text + (typeof key === "number" ? `[${key}]` : `${text && "."}${String(key)}`),
    "",
  );

/** The keys of the whole configuration. */
export const rootShape: Shape = configSchema.shape as unknown as Shape;

/** What is declared at a path, and the keys that are known in it; `meta` is undefined where nothing is declared. */
export function declaredAt(path: Path): { meta: OptionMeta | undefined; keys: readonly string[] } {
  let shape: Shape | undefined = rootShape;
  let meta: OptionMeta | undefined;
  for (const key of path) {
    const schema: z.ZodType | undefined = shape ? ownOf(shape, key) : (meta?.entry ?? meta?.item);
    meta = schema && metaOf(schema);
    shape = meta?.shape;
    if (!meta) return { meta: undefined, keys: [] };
  }
  return { meta, keys: Object.keys(shape ?? {}) };
}

const ownOf = (shape: Shape, key: string | number): z.ZodType | undefined =>
  Object.hasOwn(shape, key) ? shape[key] : undefined;

/** Values under a map whose kind is a bare type, such as numbers by name. */
const bare: OptionMeta = { doc: "", remote: false, type: "value", scalar: "json" };

/**
 * Calls `visit` for every leaf of a written or parsed configuration that is declared, and puts in its place what
 * `visit` returns. Lists count as leaves. Short forms become long; sections that are empty (`cloud:` with nothing
 * under it) are left out.
 */
export function mapLeaves(
  value: unknown,
  visit: (leaf: unknown, meta: OptionMeta, path: Path) => unknown,
  path: Path = [],
  parent?: OptionMeta,
): unknown {
  const isRoot = path.length === 0;
  const meta = declaredAt(path).meta ?? (parent?.entry ? bare : undefined);
  if (!isRoot && !meta) return value;
  const long = meta?.expand ? meta.expand(value) : value;
  const isContainer = isRoot || meta?.shape !== undefined || meta?.entry !== undefined;
  if (isContainer && typeof long === "object" && long !== null && !Array.isArray(long)) {
    const entries = Object.entries(long).map(([key, inner]) => [key, filled(inner, [...path, key])] as const);
    return Object.fromEntries(
      entries
        .filter(([, inner]) => inner !== undefined)
        .map(([key, inner]) => [key, mapLeaves(inner, visit, [...path, key], meta)]),
    );
  }
  return meta && long !== undefined ? visit(long, meta, path) : long;
}

/** A section with nothing under it is as if it were not there; where one must be, it is empty. */
function filled(value: unknown, path: Path): unknown {
  const { meta } = declaredAt(path);
  if (value !== null || (!meta?.shape && !meta?.entry)) return value;
  return meta.required ? {} : undefined;
}

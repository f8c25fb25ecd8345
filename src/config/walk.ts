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

/** What is declared at a path; undefined where nothing is. */
export function declaredAt(path: Path): { meta: OptionMeta | undefined; keys: readonly string[] } {
  let shape: Shape | undefined = rootShape;
  let meta: OptionMeta | undefined;
  for (const key of path) {
    const named: Shape = shape ?? {};
    const own = Object.hasOwn(named, key) ? named[String(key)] : undefined;
    const schema: z.ZodType | undefined = shape ? own : (meta?.entry ?? meta?.item);
    meta = schema && metaOf(schema);
    shape = meta?.shape;
    if (!meta) return { meta: undefined, keys: [] };
  }
  return { meta, keys: Object.keys(shape ?? {}) };
}

/** Calls `visit` for every leaf of a written configuration that is declared, and lets it be replaced. */
export function mapLeaves(
  value: unknown,
  visit: (leaf: unknown, meta: OptionMeta, path: Path) => unknown,
  path: Path = [],
): unknown {
  const { meta } = declaredAt(path);
  const isRoot = path.length === 0;
  if (!isRoot && !meta) return value;
  const long = meta?.expand ? meta.expand(value) : value;
  if (Array.isArray(long) && meta?.item) return long.map((item, i) => mapLeaves(item, visit, [...path, i]));
  const isFolder = isRoot || meta?.shape !== undefined || meta?.entry !== undefined;
  if (isFolder && typeof long === "object" && long !== null && !Array.isArray(long))
    return Object.fromEntries(
      Object.entries(long).map(([key, inner]) => [key, mapLeaves(inner, visit, [...path, key])]),
    );
  return meta ? visit(long, meta, path) : long;
}

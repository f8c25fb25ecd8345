import * as z from "zod";
import { idPattern, metaOf, type OptionMeta, type Shape } from "./option.ts";
import { rootShape } from "./walk.ts";

/** JSON Schema, as far as it is written here. */
export type JsonSchema = { readonly [key: string]: unknown };

/**
 * The JSON Schema (draft 2020-12) of the configuration as it is written, for editors and `tidegate config schema`.
 * What no single key can tell (fields that a step names, a window that fits the model) is left to `config validate`.
 */
export function configJsonSchema(): JsonSchema {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Tidegate's configuration",
    ...sectionOf(rootShape),
  };
}

function sectionOf(shape: Shape): JsonSchema {
  const required = Object.keys(shape).filter((key) => shape[key] && metaOf(shape[key])?.required);
  return {
    type: "object",
    properties: Object.fromEntries(Object.entries(shape).map(([key, schema]) => [key, schemaOf(schema)])),
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
}

function schemaOf(schema: z.ZodType): JsonSchema {
  const meta = metaOf(schema);
  if (!meta) return bareSchema(schema);
  return {
    description: meta.doc,
    ...formOf(meta),
    ...(meta.default === undefined ? {} : { default: meta.default }),
    ...(meta.remote ? { "x-remote": meta.remote } : {}),
  };
}

function formOf(meta: OptionMeta): JsonSchema {
  if (meta.shape) {
    const section = sectionOf(meta.shape);
    if (meta.expand) return { anyOf: [{ type: "string" }, section] };
    // A section that need not be there may stand empty: `cloud:` with nothing under it.
    return meta.required ? section : { ...section, type: ["object", "null"] };
  }
  if (meta.entry)
    return {
      type: ["object", "null"],
      propertyNames: { pattern: (meta.namePattern ?? idPattern).source },
      additionalProperties: schemaOf(meta.entry),
    };
  if (meta.item) return { type: "array", items: schemaOf(meta.item), maxItems: meta.max };
  return meta.json ?? {};
}

/** Items and entries of zod's own types. */
function bareSchema(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" });
  return rest;
}

import { parseDocument } from "yaml";
import { z } from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import { type Card, cardSchema } from "./card.ts";

/** One thing that is wrong with a card. `path` is like `outputs[0].kind`. */
export type CardFault = { readonly path: string; readonly message: string; readonly nearest?: string };

/**
 * Reads a card from YAML.
 * @param file  how errors call it
 * @throws TidegateError CARD_INVALID with all faults at once in facts.faults
 */
export function parseCard(text: string, file = "card.yaml"): Card {
  const document = parseDocument(text);
  if (document.errors.length > 0) {
    throw invalid(
      file,
      document.errors.map(({ message }) => ({ path: "", message: message.split("\n")[0] ?? message })),
    );
  }
  const parsed = cardSchema.safeParse(contentOf(document, file));
  if (parsed.success) return parsed.data;
  throw invalid(
    file,
    parsed.error.issues.flatMap((issue) => faultsOf(issue)),
  );
}

/** YAML writers use aliases for what occurs twice; the limit is against those that unfold without end. */
function contentOf(document: ReturnType<typeof parseDocument>, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (thrown) {
    throw invalid(file, [{ path: "", message: reasonOf(thrown) }]);
  }
}

function invalid(file: string, faults: readonly CardFault[]): TidegateError {
  const reason = faults.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join("; ");
  return new TidegateError("CARD_INVALID", { file, faults, reason });
}

function faultsOf(issue: z.core.$ZodIssue): CardFault[] {
  const path = renderPath(issue.path);
  if (issue.code === "unrecognized_keys") {
    const known = keysAt(issue.path);
    return issue.keys.map((key) => {
      const nearest = nearestName(key, known);
      const message = nearest ? `unknown key; did you mean ${nearest}?` : "unknown key";
      return { path: renderPath([...issue.path, key]), message, ...(nearest ? { nearest } : {}) };
    });
  }
  // Of a union the issues of the alternative that fits best say more than "invalid input".
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const best = issue.errors.reduce((a, b) => (b.length < a.length ? b : a));
    return best.flatMap((inner) => faultsOf({ ...inner, path: [...issue.path, ...inner.path] }));
  }
  return [{ path, message: issue.message }];
}

const renderPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) => text + (typeof key === "number" ? `[${key}]` : `${text && "."}${String(key)}`),
    "",
  );

/** The keys that the schema knows at a path. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: JsonSchema | undefined = z.toJSONSchema(cardSchema, {
    io: "input",
    unrepresentable: "any",
  }) as JsonSchema;
  for (const key of path) schema = typeof key === "number" ? schema?.items : schema?.properties?.[String(key)];
  const alternatives = schema?.anyOf ?? (schema ? [schema] : []);
  return [...new Set(alternatives.flatMap((alternative) => Object.keys(alternative.properties ?? {})))];
}

type JsonSchema = { properties?: Record<string, JsonSchema>; items?: JsonSchema; anyOf?: JsonSchema[] };

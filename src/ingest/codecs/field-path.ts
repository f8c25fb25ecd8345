import { TidegateError } from "../../base/errors.ts";

/** Steps from a payload to a value: keys of objects, indexes of arrays. No steps: the payload itself. */
export type FieldPath = readonly (string | number)[];

const step = /\.?([^.[\]]+)|\[(\d{1,9})\]|\["([^"]+)"\]/y;

/**
 * Parses "a.b[0].c"; `["odd.key"]` for keys with dots or brackets; "." for the payload itself.
 * @throws TidegateError CODEC_INVALID
 */
export function parsePath(text: string): FieldPath {
  if (text === ".") return [];
  const steps: (string | number)[] = [];
  step.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    const match = step.exec(text);
    if (match === null || (at === 0 && text.startsWith("."))) {
      throw new TidegateError("CODEC_INVALID", {
        what: `path "${text}"`,
        reason: `not readable at character ${at + 1}`,
      });
    }
    steps.push(match[2] === undefined ? (match[1] ?? match[3] ?? "") : Number(match[2]));
    at = step.lastIndex;
  }
  if (steps.length === 0) throw new TidegateError("CODEC_INVALID", { what: "path", reason: "is empty" });
  return steps;
}

/** The value that the path leads to; undefined when the payload lacks it. Inherited properties are not seen. */
export function follow(path: FieldPath, payload: unknown): unknown {
  let value = payload;
  for (let i = 0; i < path.length; i++) {
    if (typeof value !== "object" || value === null) return undefined;
    const container = value as Record<string | number, unknown>;
    const key = path[i] as string | number;
    value = container[key];
    // Numbers are never inherited from the prototypes of parsed payloads, so only the rest must be looked at twice.
    if (typeof value !== "number" && !Object.hasOwn(container, key)) return undefined;
  }
  return value;
}

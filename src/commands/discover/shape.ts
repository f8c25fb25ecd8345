import { timeOf } from "../../ingest/codecs/timestamp.ts";

/** How a field of a payload can be taken. */
export type FieldKind = "number" | "boolean" | "numericText" | "switch";

/** What payloads of one topic look like, over all that were seen. */
export type Shape = {
  /** Path in the payload -> how its value can be taken. */
  readonly fields: Map<string, FieldKind>;
  /** Paths that hold the sensor's time. */
  readonly times: Set<string>;
};

/** Texts that stand for two states, as devices write them. */
export const switches: Readonly<Record<string, number>> = {
  ...{ ON: 1, OFF: 0, on: 1, off: 0, open: 1, closed: 0, OPEN: 1, CLOSED: 0, true: 1, false: 0 },
};

const timeName = /^(ts|time|timestamp|datetime|date|t|at|last_seen|lastseen|measured_at|sampled_at)$/i;
/** Earlier or later times are numbers that only look like one. */
const [earliest, latest] = [Date.UTC(2001, 0, 1), Date.UTC(2100, 0, 1)];
const plainKey = /^[^.[\]"]+$/;
const maxFields = 64;
const maxDepth = 4;

export const emptyShape = (): Shape => ({ fields: new Map(), times: new Set() });

/** Adds what one payload shows. False: there is no number in it that a stream could take. */
export function observe(shape: Shape, payload: unknown): boolean {
  // A list of readings: each is a payload of its own to the codec.
  const records = Array.isArray(payload) ? payload.slice(0, 8) : [payload];
  for (const record of records) walk(record, "", 0, shape);
  return shape.fields.size > 0;
}

function walk(value: unknown, path: string, depth: number, shape: Shape): void {
  if (value !== null && typeof value === "object") {
    if (depth >= maxDepth) return;
    for (const [key, inner] of Object.entries(value)) {
      const step = Array.isArray(value) ? `[${key}]` : plainKey.test(key) ? key : `["${key}"]`;
      if (key.includes('"')) continue;
      walk(inner, path === "" || step.startsWith("[") ? `${path}${step}` : `${path}.${step}`, depth + 1, shape);
    }
    return;
  }
  const name = path.split(/[.[\]]/).findLast((part) => part !== "") ?? "";
  if (timeName.test(name) && isTime(value)) {
    shape.times.add(path);
    return;
  }
  const kind = kindOf(value);
  const at = path === "" ? "." : path;
  if (kind !== null && (shape.fields.has(at) || shape.fields.size < maxFields)) shape.fields.set(at, kind);
}

function isTime(value: unknown): boolean {
  if (typeof value !== "number" && typeof value !== "string") return false;
  try {
    const ms = timeOf(value, "auto");
    return ms >= earliest && ms <= latest;
  } catch {
    return false;
  }
}

function kindOf(value: unknown): FieldKind | null {
  if (typeof value === "number") return "number";
  if (typeof value === "boolean") return "boolean";
  if (typeof value !== "string") return null;
  if (value in switches) return "switch";
  return /^\s*[+-]?\d+(\.\d+)?\s*$/.test(value) ? "numericText" : null;
}

/** Share of paths that two shapes have in common, 0 to 1. */
export function likeness(a: Shape, b: Shape): number {
  let common = 0;
  for (const path of a.fields.keys()) if (b.fields.has(path)) common++;
  return common / (a.fields.size + b.fields.size - common || 1);
}

export function mergeInto(target: Shape, other: Shape): void {
  for (const [path, kind] of other.fields) target.fields.set(path, kind);
  for (const path of other.times) target.times.add(path);
}

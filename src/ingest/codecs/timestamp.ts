import { TidegateError } from "../../base/errors.ts";
import type { TimestampSource, TimestampUnit } from "./codec-options.ts";

/** Farthest time that a Date can hold, ms either side of 1970. */
const farthest = 8.64e15;

const iso = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?\s?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;
const decimal = /^[+-]?\d{1,20}(?:\.\d{1,20})?$/;

function fail(unit: TimestampUnit, actual: unknown): never {
  const shown = typeof actual === "object" ? (Array.isArray(actual) ? "an array" : "an object") : `a ${typeof actual}`;
  const expected = { ms: "a number of ms", s: "a number of s", iso8601: "ISO 8601", auto: "a time" }[unit];
  throw new TidegateError("PAYLOAD_TIMESTAMP", { expected, actual: shown });
}

/** ISO 8601 date or date and time to ms; a time without a zone is UTC. NaN when it is none. */
function parseIso(text: string): number {
  const match = text.length > 40 ? null : iso.exec(text);
  if (match === null) return Number.NaN;
  const [, year, month, day, minutes = "00:00", seconds = ":00", fraction = "0", zone = "Z"] = match;
  const midnight = new Date(`${year}-${month}-${day}T00:00:00Z`);
  // V8 takes the 31st of February for the 3rd of March.
  if (midnight.getUTCDate() !== Number(day)) return Number.NaN;
  const offset = zone.length === 3 ? `${zone}:00` : zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone;
  return Date.parse(`${year}-${month}-${day}T${minutes}${seconds}.${fraction.slice(0, 3)}${offset.toUpperCase()}`);
}

function scaleOf(value: number, unit: TimestampUnit): number {
  if (unit === "ms") return 1;
  if (unit === "s") return 1_000;
  const size = Math.abs(value);
  return size < 1e11 ? 1_000 : size < 1e14 ? 1 : size < 1e17 ? 1e-3 : 1e-6;
}

/**
 * Sensor time to integer ms since 1970 UTC. The value 0 and times long past or ahead are times too: what they are
 * worth is not decided here.
 * @throws TidegateError PAYLOAD_TIMESTAMP
 */
export function timeOf(raw: unknown, unit: TimestampUnit): number {
  let ms = Number.NaN;
  if (typeof raw === "number" && unit !== "iso8601") ms = raw * scaleOf(raw, unit);
  else if (typeof raw === "bigint" && unit !== "iso8601") ms = Number(raw) * scaleOf(Number(raw), unit);
  else if (raw instanceof Date) ms = raw.getTime();
  else if (typeof raw === "string") {
    if (unit !== "iso8601" && decimal.test(raw)) ms = Number(raw) * scaleOf(Number(raw), unit);
    else if (unit === "iso8601" || unit === "auto") ms = parseIso(raw);
  }
  if (!(Math.abs(ms) <= farthest)) return fail(unit, raw);
  return Math.round(ms);
}

/** The long form of `timestamp: ts`. */
export function timestampSource(timestamp: string | TimestampSource): { path: string; unit: TimestampUnit } {
  if (typeof timestamp === "string") return { path: timestamp, unit: "auto" };
  return { path: timestamp.path, unit: timestamp.unit ?? "auto" };
}

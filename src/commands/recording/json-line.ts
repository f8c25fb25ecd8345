import { TidegateError } from "../../base/errors.ts";
import type { Line } from "./lines.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** @throws TidegateError RECORDING_INVALID when the line is no JSON object */
export function parseObjectLine(file: string, { text, number }: Line): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TidegateError("RECORDING_INVALID", { file, line: number, reason: "it is not JSON" });
  }
  if (isObject(value)) return value;
  throw new TidegateError("RECORDING_INVALID", { file, line: number, reason: "it is not a JSON object" });
}

/** A payload as it was on the wire: texts as they are, everything else as JSON. */
export const payloadText = (payload: unknown): string =>
  typeof payload === "string" ? payload : JSON.stringify(payload ?? null);

/**
 * A recorded message: an object with `topic` and `payload`; null when the object is something else.
 * `payloadBase64` in place of `payload` holds bytes.
 */
export function recordedMessage(object: JsonObject): { topic: string; payload: Uint8Array } | null {
  const { topic, payload, payloadBase64 } = object;
  if (typeof topic !== "string") return null;
  if (typeof payloadBase64 === "string") return { topic, payload: Buffer.from(payloadBase64, "base64") };
  return "payload" in object ? { topic, payload: Buffer.from(payloadText(payload)) } : null;
}

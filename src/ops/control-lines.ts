import { TidegateError } from "../base/errors.ts";

/** What a client asks, one JSON line. */
export type ControlRequest = { readonly id: number; readonly method: string; readonly params: Record<string, unknown> };

/** What a server answers: any number of items, then a result or an error. Id null: it could not read the request. */
export type ControlReply =
  | { readonly id: number; readonly item: unknown }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorJson }
  | { readonly id: null; readonly error: ErrorJson };

type ErrorJson = { code: string; message?: string } & Record<string, unknown>;

/** Longest line that either side takes. */
export const maxLineBytes = 4 * 2 ** 20;

const newline = 0x0a;

/**
 * Splits a stream of bytes into lines, without their ends; a last line without an end is not told.
 *
 * @throws TidegateError CONTROL_MALFORMED when a line has more than `maxBytes`
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, maxBytes = maxLineBytes): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      parts.push(chunk.subarray(start, end));
      if (size + end - start > maxBytes) throw tooLong(maxBytes);
      yield Buffer.concat(parts).toString("utf8");
      parts = [];
      size = 0;
      start = end + 1;
    }
    if (start === chunk.length) continue;
    parts.push(chunk.subarray(start));
    size += chunk.length - start;
    if (size > maxBytes) throw tooLong(maxBytes);
  }
}

const tooLong = (maxBytes: number) =>
  new TidegateError("CONTROL_MALFORMED", { reason: `a line has more than ${maxBytes} bytes` });

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parseObject(line: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new TidegateError("CONTROL_MALFORMED", { reason: "a line is not JSON" });
  }
  if (!isRecord(value)) throw new TidegateError("CONTROL_MALFORMED", { reason: "a line is not an object" });
  return value;
}

/** @throws TidegateError CONTROL_MALFORMED */
export function parseRequest(line: string): ControlRequest {
  const { id, method, params = {} } = parseObject(line);
  if (!Number.isSafeInteger(id)) throw new TidegateError("CONTROL_MALFORMED", { reason: "`id` is not an integer" });
  if (typeof method !== "string") throw new TidegateError("CONTROL_MALFORMED", { reason: "`method` is not a text" });
  if (!isRecord(params)) throw new TidegateError("CONTROL_MALFORMED", { reason: "`params` is not an object" });
  return { id: id as number, method, params };
}

/** @throws TidegateError CONTROL_MALFORMED */
export function parseReply(line: string): ControlReply {
  const reply = parseObject(line);
  const isAnswer = "item" in reply || "result" in reply;
  const isError = isRecord(reply.error) && typeof reply.error.code === "string";
  if (!(isAnswer && Number.isSafeInteger(reply.id)) && !isError) {
    throw new TidegateError("CONTROL_MALFORMED", { reason: "a line is no answer" });
  }
  return reply as ControlReply;
}

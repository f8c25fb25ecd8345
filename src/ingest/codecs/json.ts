import { TidegateError } from "../../base/errors.ts";
import type { CodecOptions } from "./codec-options.ts";
import type { Decoder } from "./decoder.ts";
import { ObjectReader } from "./object-reader.ts";
import { textOf } from "./payload-text.ts";

const maxDepth = 64;

/**
 * JSON: one reading as an object, or an array of them, or a plain value when a field's path is ".".
 * Booleans are 0 and 1, null is a missing value.
 */
export function jsonDecoder(options: CodecOptions): Decoder {
  const reader = new ObjectReader(options);
  return {
    fields: reader.fields,
    keepsPayload: reader.fields.length === 0,
    decode(payload, batch) {
      const text = textOf(payload);
      // Each level takes two brackets: what is shorter cannot be too deep.
      if (text.length > 2 * maxDepth) assertShallow(text);
      reader.read(parse(text), batch);
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    // The parser's own message quotes the payload, which has no place in logs.
    const at = /position (\d+)/.exec((thrown as Error).message)?.[1];
    const reason = text.trim() === "" ? "it is empty" : at ? `at character ${at}` : "it ends too early";
    throw new TidegateError("PAYLOAD_MALFORMED", { codec: "JSON", reason });
  }
}

function assertShallow(text: string): void {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22) inText = !inText;
    else if (inText) {
      if (code === 0x5c) i++;
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth) throw new TidegateError("PAYLOAD_TOO_DEEP", { limit: maxDepth });
    } else if (code === 0x7d || code === 0x5d) depth--;
  }
}

import { TidegateError } from "../../base/errors.ts";
import { cborDecoder } from "./cbor.ts";
import type { CodecOptions } from "./codec-options.ts";
import { csvDecoder } from "./csv.ts";
import type { Decoder } from "./decoder.ts";
import { float32Decoder } from "./float32.ts";
import { jsonDecoder } from "./json.ts";
import { textDecoder } from "./text.ts";

/** Every codec by the name that a stream's `codec` has. */
export const codecs: Readonly<Record<string, (options: CodecOptions) => Decoder>> = {
  json: jsonDecoder,
  cbor: cborDecoder,
  csv: csvDecoder,
  float32: float32Decoder,
  text: textDecoder,
};

/**
 * Makes the decoder of one stream; its paths are compiled here, once.
 * @throws TidegateError CODEC_INVALID
 */
export function createDecoder(options: CodecOptions): Decoder {
  const make = Object.hasOwn(codecs, options.codec) ? codecs[options.codec] : undefined;
  if (make) return make(options);
  const known = Object.keys(codecs).join(", ");
  throw new TidegateError("CODEC_INVALID", { what: `codec "${options.codec}"`, reason: `not one of ${known}` });
}

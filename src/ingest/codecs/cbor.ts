// The build without generated code, and without its optional native part.
import { Decoder as Library } from "cbor-x/decode-no-eval";
import { TidegateError } from "../../base/errors.ts";
import { checkCbor } from "./cbor-check.ts";
import type { CodecOptions } from "./codec-options.ts";
import type { Decoder } from "./decoder.ts";
import { ObjectReader } from "./object-reader.ts";

// 64-bit integers become numbers: a time in nanoseconds loses less than a microsecond.
const options = { useRecords: false, mapsAsObjects: true, int64AsNumber: true };

/**
 * CBOR: the same readings as JSON, with keys that may be integers (path "2" or "-1"), times as tags 0 and 1, and
 * NaN as a missing value.
 */
export function cborDecoder(codecOptions: CodecOptions): Decoder {
  const reader = new ObjectReader(codecOptions);
  const library = new Library(options);
  return {
    fields: reader.fields,
    keepsPayload: reader.fields.length === 0,
    decode(payload, batch) {
      checkCbor(payload);
      reader.read(parse(library, payload), batch);
    },
  };
}

function parse(library: Library, payload: Uint8Array): unknown {
  try {
    return library.decode(payload);
  } catch {
    // Its messages may quote the payload, which has no place in logs.
    throw new TidegateError("PAYLOAD_MALFORMED", { codec: "CBOR", reason: "the decoder does not take it" });
  }
}

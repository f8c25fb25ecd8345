import type { Decoder } from "./decoder.ts";
import { assertUtf8 } from "./payload-text.ts";

/** Text: one reading per payload, without fields; the payload is checked and kept. */
export function textDecoder(): Decoder {
  return {
    fields: [],
    keepsPayload: true,
    decode(payload, batch) {
      assertUtf8(payload);
      batch.add();
    },
  };
}

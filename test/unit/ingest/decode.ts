import type { CodecOptions } from "../../../src/ingest/codecs/codec-options.ts";
import { createDecoder } from "../../../src/ingest/codecs/codec-table.ts";
import { ReadingBatch } from "../../../src/ingest/codecs/reading-batch.ts";

/** What a codec makes of one payload: rows of values, times (NaN: none), and what was missing. */
export function decode(payload: string | Uint8Array, options: CodecOptions) {
  const decoder = createDecoder(options);
  const batch = new ReadingBatch(decoder.fields.length);
  decoder.decode(typeof payload === "string" ? Buffer.from(payload) : payload, batch);
  const rows = Array.from({ length: batch.count }, (_, i) => [
    ...batch.values.subarray(i * batch.width, (i + 1) * batch.width),
  ]);
  return { rows, times: [...batch.ts.subarray(0, batch.count)], skipped: batch.skipped, empty: batch.empty };
}

/** What a codec throws at a payload. */
export function refusal(payload: string | Uint8Array, options: CodecOptions): unknown {
  try {
    decode(payload, options);
  } catch (thrown) {
    return thrown;
  }
  return "taken";
}

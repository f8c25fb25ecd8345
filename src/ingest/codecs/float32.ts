import { endianness } from "node:os";
import { TidegateError } from "../../base/errors.ts";
import type { CodecOptions } from "./codec-options.ts";
import type { Decoder } from "./decoder.ts";
import type { ReadingBatch } from "./reading-batch.ts";
import { locate, type TableField, tableFields } from "./table-columns.ts";

const codec = "float32";
const bytesPerFloat = Float32Array.BYTES_PER_ELEMENT;

/**
 * IEEE 754 single precision numbers, row after row: each row is a reading. A row is as wide as `columns`; without
 * them as the paths say: their names in order, or up to the highest index. NaN is a missing value.
 */
export function float32Decoder(options: CodecOptions): Decoder {
  if (options.timestamp !== undefined)
    throw new TidegateError("CODEC_INVALID", {
      what: "timestamp",
      reason: "a float32 is too coarse for a time: readings bear the time of arrival",
    });
  const fields = tableFields(options);
  const columns = options.columns ?? columnsOf(fields);
  const positions = fields.map((field) => locate(field.column, columns, codec));
  const rowBytes = Math.max(1, columns.length) * bytesPerFloat;
  const isLittle = (options.endian ?? "little") === "little";
  const isOwnOrder = isLittle === (endianness() === "LE");

  function readRow(floats: Float32Array, start: number, batch: ReadingBatch): void {
    const offset = batch.add();
    for (let i = 0; i < fields.length; i++)
      batch.values[offset + i] = numberOf(fields[i] as TableField, floats[start + (positions[i] ?? 0)] as number);
    batch.settle();
  }

  return {
    fields: fields.map((field) => field.name),
    keepsPayload: fields.length === 0,
    decode(payload, batch) {
      if (payload.length === 0 || payload.length % rowBytes !== 0) {
        const reason = `it has ${payload.length} bytes, not a multiple of ${rowBytes}`;
        throw new TidegateError("PAYLOAD_MALFORMED", { codec, reason });
      }
      if (fields.length === 0) {
        batch.add();
        return;
      }
      // A copy: payloads lie anywhere in the packet, floats only at multiples of four.
      const bytes = new Uint8Array(payload);
      const floats = new Float32Array(bytes.buffer);
      if (!isOwnOrder) {
        const view = new DataView(bytes.buffer);
        for (let i = 0; i < floats.length; i++) floats[i] = view.getFloat32(i * bytesPerFloat, isLittle);
      }
      for (let start = 0; start < floats.length; start += columns.length) readRow(floats, start, batch);
    },
  };
}

function columnsOf(fields: readonly TableField[]): readonly string[] {
  const names = new Set(fields.map((field) => field.column));
  const indexes = [...names].filter((column) => typeof column === "number");
  if (indexes.length === 0) return [...names].map(String);
  if (indexes.length === names.size) return Array.from({ length: Math.max(...indexes) + 1 }, (_, i) => String(i));
  const reason = "names and indexes of columns are mixed: list all `columns`";
  throw new TidegateError("CODEC_INVALID", { what: "fields", reason });
}

function numberOf(field: TableField, value: number): number {
  if (Number.isNaN(value)) return Number.NaN;
  if (!Number.isFinite(value))
    throw new TidegateError("PAYLOAD_TYPE", { field: field.name, expected: "a number", actual: "an infinity" });
  return field.map?.get(String(value)) ?? value;
}

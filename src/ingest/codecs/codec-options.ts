/** Where a field's number is in the payload, and what texts stand for. */
export type FieldSource = { readonly path: string; readonly map?: Readonly<Record<string, number>> | undefined };

/**
 * `auto` takes ISO 8601 texts, and tells the unit of a number by its size: below 1e11 seconds, below 1e14
 * milliseconds, below 1e17 microseconds, else nanoseconds. (1e11 s is the year 5138, 1e11 ms is 1973.)
 */
export type TimestampUnit = "ms" | "s" | "iso8601" | "auto";

export type TimestampSource = { readonly path: string; readonly unit?: TimestampUnit | undefined };

/** What a codec needs to know of its stream. `StreamConfig` fits. */
export type CodecOptions = {
  readonly codec: string;
  /** Name of the field -> path in the payload. Empty: the payload is checked and kept as it is. */
  readonly fields?: Readonly<Record<string, string | FieldSource>> | undefined;
  readonly timestamp?: string | TimestampSource | undefined;
  /** json, cbor: path of the array of readings, when it is not the payload itself. */
  readonly records?: string | undefined;
  /** json, cbor: takes "21.5" for 21.5. */
  readonly numericStrings?: boolean | undefined;
  /** csv: names of the columns, when the payload has no header line. */
  readonly columns?: readonly string[] | undefined;
  /** csv: one character, default ",". */
  readonly delimiter?: string | undefined;
  /** float32: byte order, default little. */
  readonly endian?: "little" | "big" | undefined;
};

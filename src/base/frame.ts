/** What a bit of `Frame.flags` says about one reading. */
export const readingFlags = {
  /** `ts` came from the sensor; else it is the time of arrival. */
  sensorTime: 1,
  /** Older than the newest reading of its source when it arrived: stored, not inferred. */
  late: 2,
  /** The broker may have delivered it before (DUP without proof): stored and marked. */
  maybeRepeated: 4,
  /** The wall clock was not trusted at arrival: `ts` may have to be mended from `arrived` and `boot`. */
  clockUntrusted: 8,
  /** Only its place is left: everything else of it has been erased. Never among what the journal gives. */
  erased: 128,
} as const;

/**
 * A run of readings of one stream in order of arrival, column by column: what ingest hands to the journal and the
 * journal hands back. A plain object of typed arrays, so that it crosses thread borders by transfer.
 *
 * Reading `i` has the sequence number `first + i`; sequence numbers of a stream grow without gaps and are never reused.
 */
export type Frame = {
  readonly stream: string;
  readonly fields: readonly string[];
  readonly first: number;
  readonly count: number;
  /** Boot of the machine in which the readings arrived. */
  readonly boot: string;
  /** Wall clock minus monotonic clock at arrival, ms: arrival as wall time is `arrived[i] + wallOffset`. */
  readonly wallOffset: number;
  /** Index of the reading's source in the stream's dictionary [count]. */
  readonly source: Uint32Array;
  /** Sensor time, else arrival time: integer ms since 1970 UTC [count]. */
  readonly ts: Float64Array;
  /** Arrival on the monotonic clock, whole ms since boot [count]. */
  readonly arrived: Float64Array;
  /** Bits of `readingFlags` [count]. */
  readonly flags: Uint8Array;
  /** One column per field, NaN where the payload lacked it: fields.length x [count]. */
  readonly values: readonly Float64Array[];
  /** Media and text streams: the payload of each reading [count]. */
  readonly payloads?: readonly Uint8Array[];
};

/** What the topic pattern captured, by name: identifies one sensor within a stream. */
export type Source = Readonly<Record<string, string>>;

/** What stands in a dictionary where a source was erased: its index is never given to another. No pattern has this name. */
export const erasedSource: Source = { "": "" };

export const isErasedSource = (source: Source): boolean => source[""] !== undefined;

const rendered = new WeakMap<Source, string>();

/** A source as it goes into topics and logs: captured levels in pattern order, joined by "/". */
export function renderSource(source: Source): string {
  const known = rendered.get(source);
  if (known !== undefined) return known;
  const text = Object.values(source).join("/");
  rendered.set(source, text);
  return text;
}

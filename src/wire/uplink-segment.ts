import type { BatchKind } from "./batch-head.ts";
import type { OwedEntry, OwedSource } from "./owed-source.ts";

/** Lines of one stream that are being sent as one batch. */
export type Parcel = {
  readonly stream: string;
  readonly kind: BatchKind;
  /** In order; `splitParcel` may shorten it. */
  entries: OwedEntry[];
  /** Nothing of this stream between here and the first entry is owed. */
  readonly after: number;
};

export const numbersOfParcel = ({ entries }: Parcel): number[] => entries.map(({ n }) => n);
export const lastOfParcel = ({ entries, after }: Parcel): number => entries.at(-1)?.n ?? after;

const bytesOf = (entries: readonly OwedEntry[]): number => entries.reduce((sum, { body }) => sum + body.length, 0);

const maxEntries = 2_048;
const maxLoadBytes = 2 ** 20;

/**
 * A stretch of a source that is sent in order. Of each stream there is one parcel under way at a time, so a stream's
 * lines arrive in order whatever is lost and sent again; streams go side by side. While a parcel is under way the next
 * one gathers.
 */
export class UplinkSegment {
  readonly #source: OwedSource;
  readonly #start: number;
  /** First number beyond it; Infinity while it is the live one. */
  #end = Number.POSITIVE_INFINITY;
  /** Everything up to here has been loaded. */
  #position: number;
  /** Loaded and not under way, in order. */
  #window: OwedEntry[] = [];
  #windowBytes = 0;
  #flying = new Map<string, Parcel>();
  /** The newest number that was taken of each stream. */
  #taken = new Map<string, number>();

  /** @param start  the last number before it */
  constructor(source: OwedSource, start: number) {
    this.#source = source;
    this.#start = start;
    this.#position = start;
  }

  get position(): number {
    return this.#position;
  }

  get isLive(): boolean {
    return this.#end === Number.POSITIVE_INFINITY;
  }

  /** Nothing is left of it. */
  get isDone(): boolean {
    return this.#position >= this.#end - 1 && this.#window.length === 0 && this.#flying.size === 0;
  }

  /** The lowest number in it that may still be owed. */
  get floor(): number {
    let floor = Math.min(this.#position + 1, this.#window[0]?.n ?? Number.POSITIVE_INFINITY);
    for (const { entries } of this.#flying.values()) floor = Math.min(floor, entries[0]?.n ?? floor);
    return floor;
  }

  get loaded(): readonly OwedEntry[] {
    return this.#window;
  }

  /** It goes no further than `last` (or than what it has loaded); returns where the next segment starts. */
  endAt(last: number): number {
    const end = Math.max(last, this.#position);
    this.#end = end + 1;
    return end;
  }

  /** Loads more when there is room. False when nothing was there that had not been loaded. */
  async fill(): Promise<boolean> {
    const isFull = this.#window.length > maxEntries / 2 || this.#windowBytes > maxLoadBytes / 2;
    if (isFull || this.#position >= this.#end - 1) return true;
    const limits = [maxEntries - this.#window.length, maxLoadBytes - this.#windowBytes] as const;
    const entries = await this.#source.load(this.#position, ...limits);
    const mine = entries.filter(({ n }) => n < this.#end);
    this.#window.push(...mine);
    this.#windowBytes += bytesOf(mine);
    // Numbers only grow: once something beyond the end is there, or nothing at all, nothing can come below it.
    const isAll = !this.isLive && mine.length < Math.max(1, entries.length);
    this.#position = isAll ? this.#end - 1 : (mine.at(-1)?.n ?? this.#position);
    return entries.length > 0;
  }

  /** Entries that wait and are to go nowhere any more. */
  drop(isGone: (entry: OwedEntry) => boolean): void {
    this.#window = this.#window.filter((entry) => !isGone(entry));
    this.#windowBytes = bytesOf(this.#window);
  }

  /** The next parcel of a stream that has none under way; null when there is nothing to send. */
  take(maxBytes: number, maxLines: number): Parcel | null {
    const first = this.#window.find(({ stream }) => !this.#flying.has(stream));
    if (!first) return null;
    const { stream, kind } = first;
    const entries: OwedEntry[] = [];
    let bytes = 0;
    for (const entry of this.#window) {
      if (entry.stream !== stream) continue;
      bytes += entry.body.length + 1;
      const isFull = entries.length > 0 && (bytes > maxBytes || entries.length >= maxLines);
      if (isFull || entry.kind !== kind) break;
      entries.push(entry);
    }
    const parcel = { stream, kind, entries, after: this.#taken.get(stream) ?? this.#start };
    const taken = new Set(entries);
    this.#window = this.#window.filter((entry) => !taken.has(entry));
    this.#windowBytes -= bytesOf(entries);
    this.#flying.set(stream, parcel);
    this.#taken.set(stream, lastOfParcel(parcel));
    return parcel;
  }

  /** Puts back the second half of a parcel that turned out too large. False when it has only one line. */
  split(parcel: Parcel): boolean {
    if (parcel.entries.length < 2) return false;
    const rest = parcel.entries.splice(Math.ceil(parcel.entries.length / 2));
    this.#window = [...this.#window, ...rest].sort((a, b) => a.n - b.n);
    this.#windowBytes += bytesOf(rest);
    this.#taken.set(parcel.stream, lastOfParcel(parcel));
    return true;
  }

  /** The sink has it, or it was given up. */
  settle(parcel: Parcel): void {
    if (this.#flying.get(parcel.stream) === parcel) this.#flying.delete(parcel.stream);
  }
}

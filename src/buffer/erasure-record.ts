import type { ErasureRequest } from "../base/erasure-request.ts";
import type { BufferFile } from "./buffer-file.ts";
import type { Erasure, ErasureNotice, ErasureReach, KeptErasure } from "./erasure.ts";
import type { StateFile } from "./state-file.ts";

const names = {
  current: "erasure",
  receipt: "erasure/receipt/",
  notice: "erasure/notice/",
  sink: "erasure/sink/",
} as const;
const countName = "erasures";
const toldName = "erasures/told";

/** Small sealed values of state.db, by name. */
export type SealedValues = {
  stateGet(name: string): Uint8Array | null;
  statePut(name: string, value: Uint8Array): void;
};

/**
 * What state.db knows of erasures: the one under way, the receipts of those before, and what the sink has not been told
 * yet. It outlives buffer.db, so that a notice does not get lost with a damaged one.
 */
export class ErasureRecord {
  readonly #state: StateFile;
  readonly #values: SealedValues;

  constructor(state: StateFile, values: SealedValues) {
    this.#state = state;
    this.#values = values;
  }

  /** @param reach  what the sink is to be told to forget; null: it is not told */
  begin(request: ErasureRequest, reach: ErasureReach | null): Erasure {
    const number = (this.#state.number(countName) ?? 0) + 1;
    const erasure: Erasure = { number, at: Date.now(), request };
    this.#state.transaction(() => {
      this.#state.putNumber(countName, number);
      this.#put(names.current, erasure);
      if (reach) this.#put(`${names.notice}${number}`, { ...erasure, upTo: reach } satisfies ErasureNotice);
    });
    return erasure;
  }

  get current(): Erasure | null {
    return this.#get<Erasure>(names.current);
  }

  /** The erasure is over: its receipt is kept, for good. */
  end({ number }: Erasure, receipt: Uint8Array): void {
    this.#state.transaction(() => {
      this.#values.statePut(`${names.receipt}${number}`, receipt);
      this.#state.delete(`value/${names.current}`);
    });
    this.#state.checkpoint();
  }

  /** The number up to which the sink has said that it has been told. */
  get toldUpTo(): number {
    return this.#state.number(toldName) ?? 0;
  }

  /** What the sink has not confirmed, after number `n`, in order. */
  notices(n: number, limit: number): ErasureNotice[] {
    const numbers = this.#numbers(names.notice).filter((number) => number > n);
    return numbers.slice(0, limit).flatMap((number) => this.#get<ErasureNotice>(`${names.notice}${number}`) ?? []);
  }

  /** The sink has been told of everything up to a number: with the notices the names in them go. */
  told(upTo: number): void {
    this.#state.transaction(() => {
      this.#state.putNumber(toldName, Math.max(upTo, this.toldUpTo));
      for (const number of this.#numbers(names.notice))
        if (number <= upTo) this.#state.delete(`value/${names.notice}${number}`);
    });
    this.#state.checkpoint();
  }

  /** Keeps the sink's receipt for those erasures from `first` to `last` that it was told of. */
  confirm(first: number, last: number, receipt: Uint8Array): void {
    this.#state.transaction(() => {
      for (const number of this.#numbers(names.notice))
        if (number >= first && number <= last) this.#values.statePut(`${names.sink}${number}`, receipt);
    });
  }

  /** The newest erasures, the newest first. */
  list(limit: number): KeptErasure[] {
    const count = this.#state.number(countName) ?? 0;
    return Array.from({ length: Math.min(limit, count) }, (_, i) => ({
      number: count - i,
      receipt: this.#values.stateGet(`${names.receipt}${count - i}`),
      sinkReceipt: this.#values.stateGet(`${names.sink}${count - i}`),
    }));
  }

  #numbers(prefix: string): number[] {
    const found = this.#state.names(`value/${prefix}`).map((name) => Number(name.slice(name.lastIndexOf("/") + 1)));
    return found.sort((a, b) => a - b);
  }

  #get<T>(name: string): T | null {
    const value = this.#values.stateGet(name);
    return value && (JSON.parse(Buffer.from(value).toString("utf8")) as T);
  }

  #put(name: string, value: unknown): void {
    this.#values.statePut(name, Buffer.from(JSON.stringify(value)));
  }
}

/** What the sink is told of an erasure that begins now. */
export function reachOf({ ledger, streams }: BufferFile, { stream }: ErasureRequest): ErasureReach {
  const [alarm = 0, rest = 0] = ledger.marks.map((next) => next - 1);
  const meant = streams.all.filter(({ name }) => stream === undefined || name === stream);
  return { alarm, rest, raw: Object.fromEntries(meant.map(({ name, next }) => [name, next])) };
}

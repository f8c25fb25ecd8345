import { reasonOf, TidegateError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { isId } from "./topics.ts";

/** `alarm` goes before `rest`; `raw` has the readings themselves, numbered per stream; `erase` tells of erasures. */
export type BatchLane = "alarm" | "rest" | "raw" | "erase";
export type BatchKind = "result" | "aggregate" | "raw" | "erase";

/** What a batch says of itself in the clear: signed, and bound to what is sealed. */
export type BatchHead = {
  readonly fleet: string;
  readonly gateway: string;
  /** Names one life of the gateway's outbox: its numbers start anew with each. */
  readonly incarnation: string;
  readonly stream: string;
  readonly lane: BatchLane;
  readonly kind: BatchKind;
  /** Number of the first line: counted per lane, for `raw` per stream (the reading's sequence number). */
  readonly n: number;
  /** Number of the last line. */
  readonly last: number;
  readonly count: number;
  /** From each line's number to the next one's; absent when they follow one another. Other streams have the rest. */
  readonly steps?: readonly number[];
  /** Nothing of this stream between here and `n` is owed: what came up to here and this batch have no gap. */
  readonly after: number;
  /** Nothing in this lane below this number will come again. */
  readonly floor: number;
  /** Bytes of all lines before compression. */
  readonly size: number;
  /** When it was sealed, ms UTC by the gateway's clock. */
  readonly at: number;
  /** Fingerprint of the public key it is sealed for. */
  readonly to: string;
  /** Raw Ed25519 public key of the gateway [32]. */
  readonly signer: Uint8Array;
};

/** What one row of numbers is counted by, within one incarnation of a gateway. */
export const domainOf = ({ lane, stream }: Pick<BatchHead, "lane" | "stream">): string => `${lane}/${stream}`;

/** The number of each line. */
export function numbersOf({ n, count, steps }: Pick<BatchHead, "n" | "count" | "steps">): number[] {
  let next = n;
  return Array.from({ length: count }, (_, i) => {
    if (i > 0) next += steps?.[i - 1] ?? 1;
    return next;
  });
}

/** Whether a value of a peer is the id of a fleet, gateway, stream or incarnation. */
export const isIdText = (value: unknown): value is string => typeof value === "string" && isId(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isOneOf =
  <T extends string>(...names: T[]) =>
  (value: unknown): value is T =>
    names.includes(value as T);

/** Whether a value of a peer names a lane. */
export const isLane = isOneOf<BatchLane>("alarm", "rest", "raw", "erase");

/** Most lines in one batch. */
export const maxLines = 8_192;

const checks: Record<keyof BatchHead, (value: unknown) => boolean> = {
  fleet: isIdText,
  gateway: isIdText,
  incarnation: isIdText,
  stream: isIdText,
  lane: isLane,
  kind: isOneOf<BatchKind>("result", "aggregate", "raw", "erase"),
  n: isCount,
  last: isCount,
  count: (value) => isCount(value) && value >= 1 && value <= maxLines,
  steps: (value) => value === undefined || (Array.isArray(value) && value.every((step) => isCount(step) && step >= 1)),
  after: (value) => isCount(value) || value === -1,
  floor: isCount,
  size: isCount,
  at: Number.isSafeInteger,
  to: (value) => typeof value === "string" && /^[0-9a-f]{32}$/.test(value),
  signer: (value) => value instanceof Uint8Array && value.length === 32,
};

export const encodeHead = (head: BatchHead): Uint8Array => encodeCbor(head);

/** @throws TidegateError BATCH_INVALID; fields it does not know are left alone */
export function decodeHead(bytes: Uint8Array): BatchHead {
  let value: unknown;
  try {
    value = decodeCbor(bytes, { maxDepth: 4, maxItems: maxLines + 256 });
  } catch (cause) {
    throw new TidegateError("BATCH_INVALID", { reason: `its head is not plain CBOR: ${reasonOf(cause)}` }, { cause });
  }
  if (typeof value !== "object" || value === null)
    throw new TidegateError("BATCH_INVALID", { reason: "it has no head" });
  const fields = value as Partial<Record<keyof BatchHead, unknown>>;
  for (const [name, isValid] of Object.entries(checks)) {
    if (!isValid(fields[name as keyof BatchHead])) {
      throw new TidegateError("BATCH_INVALID", { reason: `its ${name} is missing or wrong` });
    }
  }
  const head = value as BatchHead;
  const isOrdered = head.after < head.n && (head.steps === undefined || head.steps.length === head.count - 1);
  if (!isOrdered || numbersOf(head).at(-1) !== head.last) {
    throw new TidegateError("BATCH_INVALID", { reason: "its numbers contradict one another" });
  }
  const hasOwnLane = (["raw", "erase"] as const).every((name) => (head.kind === name) === (head.lane === name));
  if (!hasOwnLane) {
    throw new TidegateError("BATCH_INVALID", { reason: `kind ${head.kind} does not go with lane ${head.lane}` });
  }
  return head;
}

import { type ErasableItem, type ErasureRequest, isErasedItem } from "../base/erasure-request.ts";
import { TidegateError } from "../base/errors.ts";
import { isIdText } from "./batch-head.ts";

/** A line of the lane `erase`: what a gateway has erased and asks the sink to erase, too. */
export type EraseNotice = {
  readonly request: ErasureRequest;
  /** When it was asked for, ms UTC by the gateway's clock. */
  readonly at: number;
  /** The highest number of each lane, and of each stream's readings, that is meant: what comes later is kept. */
  readonly upTo: { readonly alarm: number; readonly rest: number; readonly raw: Readonly<Record<string, number>> };
};

/** Where a line that may be erased stands in its gateway's numbers. */
export type LinePlace = { readonly stream: string; readonly lane: string; readonly n: number };

const maxStreams = 1_024;
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value);
const isAbsentOr = (value: unknown, isRight: (value: unknown) => boolean): boolean =>
  value === undefined || isRight(value);

/** @throws TidegateError BATCH_INVALID: nothing is erased on a guess */
export function parseEraseNotice(line: string): EraseNotice {
  const { request, at, upTo } = objectOf(parsed(line));
  const { stream, source, before, all } = objectOf(request);
  const { alarm, rest, raw } = objectOf(upTo);
  const streams = Object.entries(objectOf(raw));
  const parts = [stream, source, before].filter((part) => part !== undefined).length;
  const isRequest =
    isAbsentOr(stream, isIdText) &&
    isAbsentOr(source, (value) => typeof value === "string") &&
    isAbsentOr(before, (value) => Number.isFinite(value)) &&
    (all === true ? parts === 0 : all === undefined && parts > 0);
  const isReach = streams.length <= maxStreams && streams.every(([name, n]) => isIdText(name) && isNumber(n));
  if (!isRequest || !isReach || !isNumber(at) || !isNumber(alarm) || !isNumber(rest)) throw invalid();
  return { request: request as ErasureRequest, at, upTo: { alarm, rest, raw: Object.fromEntries(streams) as never } };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new TidegateError("BATCH_INVALID", { reason: "what it says of an erasure is not JSON" }, { cause });
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid();
  return value as Record<string, unknown>;
}

const invalid = () => new TidegateError("BATCH_INVALID", { reason: "what it says of an erasure is not complete" });

/** Whether a line of the notice's own incarnation had been given its number when the erasure began. */
export function isInReach({ upTo }: EraseNotice, { stream, lane, n }: LinePlace): boolean {
  if (lane === "alarm" || lane === "rest") return n <= upTo[lane];
  return lane === "raw" && n <= (upTo.raw[stream] ?? -1);
}

/** Whether the notice means what a line of a stream says, wherever it stands. */
export const isMeant = ({ request }: EraseNotice, stream: string, item: ErasableItem): boolean =>
  (request.stream === undefined || request.stream === stream) && isErasedItem(request, item);

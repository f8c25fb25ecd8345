/** When the uplink waits, ms. */
export type UplinkTiming = {
  /** For a receipt, before a batch is sent again; doubles with each attempt. */
  readonly receiptMs: number;
  readonly maxReceiptMs: number;
  /** After the broker said that nobody has subscribed, or refused a batch; doubles with each attempt. */
  readonly refusedMs: number;
  readonly maxRefusedMs: number;
  /** Between two removals of what is settled: each of them is a commit. */
  readonly settleMs: number;
};

export const uplinkTiming: UplinkTiming = {
  receiptMs: 20_000,
  maxReceiptMs: 300_000,
  refusedMs: 2_000,
  maxRefusedMs: 60_000,
  settleMs: 5_000,
};

/** A wait that doubles, between half and one and a half of itself: gateways do not come back together. */
export const jittered = (baseMs: number, maxMs: number, attempt: number, random: () => number): number =>
  Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 20)) * (0.5 + random());

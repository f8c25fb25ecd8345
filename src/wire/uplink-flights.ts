import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import type { Receipt } from "./receipt.ts";
import type { UplinkLane } from "./uplink-lane.ts";
import { lastOfParcel, type Parcel, type UplinkSegment } from "./uplink-segment.ts";
import { jittered, type UplinkTiming } from "./uplink-timing.ts";

/** A batch that waits for its receipt. */
export type Flight = {
  readonly lane: UplinkLane;
  readonly segment: UplinkSegment;
  readonly parcel: Parcel;
  /** Inside the batch's box, the same with each attempt: its receipt is made with it. */
  readonly token: Uint8Array;
  attempts: number;
  /** `sending` until the broker has answered. */
  state: "sending" | "sent" | "refused";
  /** When it is sent again, monotonic ms. */
  dueAt: number;
};

/** The broker's answers that are told apart. */
export const publishReasons = { nobody: 0x10, refused: 0x80 } as const;

const maxFlights = 8;
const maxBacklog = 4;
/** Alarms have slots of their own: nothing else can be in their way. */
const maxAlarms = 4;

/** The batches under way: how many there may be, and when each is sent again. */
export class UplinkFlights {
  readonly #timing: UplinkTiming;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #flights = new Set<Flight>();
  #receiptAt: number;
  #isStalled = false;

  constructor(timing: UplinkTiming, clock: Clock, random: Random) {
    this.#timing = timing;
    this.#clock = clock;
    this.#random = random;
    this.#receiptAt = Number.NEGATIVE_INFINITY;
  }

  get size(): number {
    return this.#flights.size;
  }

  /** Batches are lost or refused, and no receipt has come for a while. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  get all(): ReadonlySet<Flight> {
    return this.#flights;
  }

  /** Which kinds of batches may set out now. */
  get room(): { alarm: boolean; live: boolean; backlog: boolean } {
    let [alarms, behind] = [0, 0];
    for (const { lane, segment } of this.#flights) {
      if (lane.lane === "alarm") alarms++;
      else if (!segment.isLive) behind++;
    }
    const live = this.#flights.size - alarms < maxFlights;
    return { alarm: alarms < maxAlarms, live, backlog: live && behind < maxBacklog };
  }

  add(flight: Flight): void {
    this.#flights.add(flight);
  }

  has(flight: Flight): boolean {
    return this.#flights.has(flight);
  }

  remove(flight: Flight): void {
    this.#flights.delete(flight);
  }

  /** The batch that a receipt is for; undefined when it has had one already. */
  find({ lane, stream, upTo }: Receipt): Flight | undefined {
    return [...this.#flights].find(
      (flight) => flight.lane.lane === lane && flight.parcel.stream === stream && lastOfParcel(flight.parcel) === upTo,
    );
  }

  /** A batch that is to be sent again by now. */
  get overdue(): Flight | undefined {
    const now = this.#clock.monotonic();
    return [...this.#flights].find(({ state, dueAt }) => state !== "sending" && dueAt <= now);
  }

  /** When the next one is to be sent again, monotonic ms; Infinity when none waits. */
  get nextDueAt(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { state, dueAt } of this.#flights) if (state !== "sending") next = Math.min(next, dueAt);
    return next;
  }

  /** The broker's answer: it decides how long the receipt is waited for, and nothing else. */
  answered(flight: Flight, reason: number): void {
    const { receiptMs, maxReceiptMs, refusedMs, maxRefusedMs } = this.#timing;
    const now = this.#clock.monotonic();
    const attempt = Math.max(0, flight.attempts - 1);
    const isTaken = reason < publishReasons.refused && reason !== publishReasons.nobody;
    flight.state = isTaken ? "sent" : "refused";
    flight.dueAt =
      now +
      (isTaken
        ? jittered(receiptMs, maxReceiptMs, attempt, this.#random)
        : jittered(refusedMs, maxRefusedMs, attempt, this.#random));
    // A single batch that never gets a receipt, e.g. one that the sink cannot open, is no outage.
    if ((!isTaken || attempt > 0) && now - this.#receiptAt > receiptMs) this.#isStalled = true;
  }

  /** A receipt has come. True when it ends an outage: then what had been put off goes out at once. */
  received(): boolean {
    this.#receiptAt = this.#clock.monotonic();
    if (!this.#isStalled) return false;
    this.#isStalled = false;
    for (const flight of this.#flights) if (flight.state !== "sending") flight.dueAt = 0;
    return true;
  }
}

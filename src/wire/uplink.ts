import { reasonOf } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import { encodeBatch, newToken } from "./batch.ts";
import { maxLines } from "./batch-head.ts";
import type { OwedEntry } from "./owed-source.ts";
import { isProven, parseReceipt, type Receipt } from "./receipt.ts";
import { TokenBucket } from "./token-bucket.ts";
import { fleetTopics } from "./topics.ts";
import { type Flight, publishReasons, UplinkFlights } from "./uplink-flights.ts";
import { UplinkLane } from "./uplink-lane.ts";
import type { UplinkOptions } from "./uplink-options.ts";
import { numbersOfParcel, type UplinkSegment } from "./uplink-segment.ts";
import { uplinkTiming } from "./uplink-timing.ts";

const headRoom = 1_024;
const maxParcelBytes = 512 * 1024;
const defaultBacklogRate = 256 * 1024;
const failurePauseMs = 5_000;

/**
 * Sends what is owed to the sink, and removes it on the sink's receipt alone.
 *
 * - Alarms first, then what is live, then the backlog of an outage at its own rate.
 * - In order within a lane and stream: a batch leaves when the one before it has its receipt.
 * - The broker's word counts for nothing: neither its PUBACK nor that nobody has subscribed removes anything.
 * - What is under way is bounded; everything else stays where it is durable.
 */
export class Uplink implements Component {
  readonly name = "uplink";
  readonly #options: UplinkOptions;
  readonly #lanes: UplinkLane[];
  readonly #bucket: TokenBucket;
  readonly #flights: UplinkFlights;
  #timer: NodeJS.Timeout | undefined;
  #pump: Promise<void> | undefined;
  #isWoken = false;
  #wakes = 0;
  #isRunning = false;
  #wasOnline = false;
  #isDivisionDue = false;
  /** The backlog waits for the bucket, not for receipts, which would wake it. */
  #isBacklogPaced = false;
  #turn = 0;
  #pausedUntil = 0;
  readonly counters = { sent: 0, lines: 0, receipts: 0, retries: 0, nobody: 0, refused: 0, dropped: 0, badReceipts: 0 };

  constructor(options: UplinkOptions) {
    this.#options = options;
    const timing = { ...uplinkTiming, ...options.timing };
    const { sources, clock, log } = options;
    this.#lanes = sources.map((source) => new UplinkLane(source, timing.settleMs, clock, log));
    this.#flights = new UplinkFlights(timing, clock, options.random);
    const rate = options.backlogRate ?? defaultBacklogRate;
    this.#bucket = new TokenBucket(rate, Math.max(rate, options.maxPayload), clock);
  }

  async start(): Promise<void> {
    this.#isRunning = true;
    this.wake();
  }

  /** Stops sending; what was settled is written down. What is under way is sent again by the next life. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    clearTimeout(this.#timer);
    await this.#pump;
    await Promise.all(this.#lanes.map((lane) => lane.flush()));
  }

  /** Something may be owed, or the link's or the sink's key's state has changed. */
  wake(): void {
    this.#wakes++;
    for (const lane of this.#lanes) lane.isDry = false;
    this.#run();
  }

  /** Entries that wait are to go nowhere any more; batches under way are beyond reach. */
  drop(isGone: (entry: OwedEntry) => boolean): void {
    for (const lane of this.#lanes) lane.drop(isGone);
  }

  get state() {
    const { link, sinkKey, clock } = this.#options;
    const underWay = [...this.#flights.all].flatMap(({ parcel }) => parcel.entries);
    const known = [...this.#lanes.flatMap(({ loaded }) => loaded), ...underWay];
    const oldest = known.reduce((least, { at }) => Math.min(least, at), Number.POSITIVE_INFINITY);
    let waitsFor: "connection" | "key" | "receipt" | null = null;
    if (!link.state.isOnline) waitsFor = "connection";
    else if (!sinkKey()) waitsFor = "key";
    else if (this.#flights.isStalled) waitsFor = "receipt";
    return {
      waitsFor,
      inFlight: this.#flights.size,
      /** Lines that are loaded; the source may have more. */
      pending: known.length,
      oldestAgeMs: known.length === 0 ? null : Math.max(0, clock.now() - oldest),
      hasBacklog: this.#lanes.some(({ backlog }) => backlog !== undefined),
      ...this.counters,
    };
  }

  /** A message on `receipts/data`. Anything that proves nothing is counted and changes nothing. */
  receive(payload: Uint8Array): void {
    const flight = this.#answeredBy(payload);
    if (!flight) return;
    this.counters.receipts++;
    this.#finish(flight);
    if (this.#flights.received()) this.#isDivisionDue = true;
    this.#run();
  }

  /** Whether a receipt answers a batch that is under way, by one who opened it. */
  isProof(payload: Uint8Array): boolean {
    return this.#answeredBy(payload) !== null;
  }

  #answeredBy(payload: Uint8Array): Flight | null {
    let receipt: Receipt;
    try {
      receipt = parseReceipt(payload);
    } catch {
      this.counters.badReceipts++;
      return null;
    }
    // A receipt for what is no longer under way is a repeat.
    const flight = this.#flights.find(receipt);
    if (!flight) return null;
    if (receipt.incarnation === this.#options.incarnation && isProven(receipt, flight.token)) return flight;
    this.counters.badReceipts++;
    return null;
  }

  #finish(flight: Flight): void {
    this.#flights.remove(flight);
    flight.segment.settle(flight.parcel);
    this.#advance(flight.lane);
  }

  #advance(lane: UplinkLane): void {
    void lane.advance()?.then(() => this.#schedule());
  }

  /** One pump at a time; what happens meanwhile makes it go round once more. */
  #run(): void {
    if (!this.#isRunning) return;
    this.#isWoken = true;
    this.#pump ??= this.#pumpAll().finally(() => {
      this.#pump = undefined;
      if (this.#isWoken) this.#run();
      else this.#schedule();
    });
  }

  async #pumpAll(): Promise<void> {
    while (this.#isWoken && this.#isRunning) {
      this.#isWoken = false;
      try {
        while (await this.#step());
      } catch (thrown) {
        this.#options.log.warn({ reason: reasonOf(thrown) }, "the uplink pauses");
        this.#pausedUntil = this.#options.clock.monotonic() + failurePauseMs;
      }
      for (const lane of this.#lanes) this.#advance(lane);
    }
  }

  /** Sends one batch. False when there is nothing to send now. */
  async #step(): Promise<boolean> {
    const { link, clock, sinkKey } = this.#options;
    const { isOnline } = link.state;
    if (isOnline && !this.#wasOnline) this.#isDivisionDue = true;
    this.#wasOnline = isOnline;
    const key = sinkKey();
    const now = clock.monotonic();
    if (!this.#isRunning || !isOnline || !key || now < this.#pausedUntil) return false;
    this.#pausedUntil = 0;
    if (this.#isDivisionDue) {
      for (const lane of this.#lanes) await lane.divide();
      this.#isDivisionDue = false;
    }
    const flight = this.#flights.overdue ?? (await this.#next());
    if (!flight) return false;
    await this.#send(flight, key);
    return true;
  }

  /** Takes up the next batch by rank, among equals in turn. */
  async #next(): Promise<Flight | null> {
    const { room } = this.#flights;
    const turn = this.#turn++;
    const inTurn = this.#lanes.map((_, i) => this.#lanes[(turn + i) % this.#lanes.length] as UplinkLane);
    const alarms = inTurn.filter(({ lane }) => lane === "alarm");
    const others = inTurn.filter(({ lane }) => lane !== "alarm");
    for (const lane of [...(room.alarm ? alarms : []), ...(room.live ? others : [])]) {
      if (!lane.isDry) await this.#fill(lane);
      const flight = this.#take(lane, lane.live);
      if (flight) return flight;
    }
    this.#isBacklogPaced = room.backlog && this.#bucket.waitMs > 0;
    if (!room.backlog || this.#isBacklogPaced) return null;
    for (const lane of others) {
      const { backlog } = lane;
      if (!backlog) continue;
      await backlog.fill();
      const flight = this.#take(lane, backlog);
      if (flight) return flight;
      this.#advance(lane);
    }
    return null;
  }

  async #fill(lane: UplinkLane): Promise<void> {
    const wakes = this.#wakes;
    const hasMore = await lane.live.fill();
    // What was committed while the source was asked may not have been seen.
    lane.isDry = !hasMore && wakes === this.#wakes;
  }

  #take(lane: UplinkLane, segment: UplinkSegment): Flight | null {
    const room = Math.max(1, (this.#options.maxPayload - headRoom) / lane.ratio);
    const parcel = segment.take(Math.min(maxParcelBytes, room), maxLines);
    if (!parcel) return null;
    const flight: Flight = { lane, segment, parcel, token: newToken(), attempts: 0, state: "sending", dueAt: 0 };
    this.#flights.add(flight);
    return flight;
  }

  async #send(flight: Flight, key: Uint8Array): Promise<void> {
    const { link, fleet, gateway, log } = this.#options;
    let payload: Uint8Array | null;
    try {
      payload = await this.#encode(flight, key);
    } catch (thrown) {
      this.#flights.answered(flight, publishReasons.refused);
      throw thrown;
    }
    // Its receipt may have come while it was sealed once more.
    if (!payload || !this.#flights.has(flight)) return;
    if (flight.attempts++ > 0) this.counters.retries++;
    else this.counters.lines += flight.parcel.entries.length;
    this.counters.sent++;
    if (!flight.segment.isLive) this.#bucket.take(payload.length);
    flight.state = "sending";
    const topics = fleetTopics(fleet).gateway(gateway);
    const { stream, kind } = flight.parcel;
    const topic = kind === "erase" ? topics.erasure(stream) : topics.data(stream);
    const options = { qos: 1, retain: false, contentType: "application/vnd.tidegate.batch.v1+cbor" } as const;
    link.publish(topic, payload, options).then(
      ({ reason }) => this.#answered(flight, reason),
      (thrown: unknown) => {
        log.debug({ reason: reasonOf(thrown) }, "a batch could not be handed to the broker");
        this.#answered(flight, publishReasons.refused);
      },
    );
  }

  #answered(flight: Flight, reason: number): void {
    if (!this.#flights.has(flight)) return;
    if (reason === publishReasons.nobody) this.counters.nobody++;
    else if (reason >= publishReasons.refused) this.counters.refused++;
    this.#flights.answered(flight, reason);
    this.#schedule();
  }

  /** The batch's bytes; null when it turned out to be a line that no batch can hold. */
  async #encode(flight: Flight, key: Uint8Array): Promise<Uint8Array | null> {
    const { fleet, gateway, incarnation, signer, maxPayload, clock, log, onDropped } = this.#options;
    const { lane, segment, parcel, token } = flight;
    for (;;) {
      const lines = parcel.entries.map(({ body }) => body);
      const { stream, kind, after } = parcel;
      const about = { fleet, gateway, incarnation, stream, lane: lane.lane, kind, after };
      const facts = { ...about, numbers: numbersOfParcel(parcel), floor: Math.max(0, lane.floor), at: clock.now() };
      const payload = await encodeBatch(facts, lines, key, signer, token);
      const bytes = lines.reduce((sum, line) => sum + line.length, 0);
      lane.ratio = Math.min(1, Math.max(0.02, (1.2 * payload.length) / Math.max(headRoom, bytes)));
      if (payload.length <= maxPayload) return payload;
      if (segment.split(parcel)) continue;
      log.warn({ stream, bytes: payload.length, maxPayload }, "a line is too large for the cloud and is given up");
      this.counters.dropped++;
      onDropped?.(stream, 1);
      this.#finish(flight);
      return null;
    }
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const { clock, link, sinkKey } = this.#options;
    if (!this.#isRunning || this.#pump !== undefined) return;
    const now = clock.monotonic();
    let due = Math.min(...this.#lanes.map(({ dueAt }) => dueAt));
    if (link.state.isOnline && sinkKey()) {
      if (this.#pausedUntil > 0) due = Math.min(due, this.#pausedUntil);
      else {
        due = Math.min(due, this.#flights.nextDueAt);
        if (this.#isBacklogPaced) due = Math.min(due, now + this.#bucket.waitMs);
      }
    }
    if (due === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#run(), Math.max(1, Math.min(due - now, 2 ** 30)));
  }
}

import type { Random } from "../base/random.ts";
import { isVersionRefusal, type MqttEnd } from "../drivers/mqtt.ts";
import { Backoff, type BackoffLimits } from "./backoff.ts";
import { ProtocolChoice, type ProtocolVersion } from "./link-protocol.ts";

/** A connection that ends sooner has proven nothing: the pauses go on growing. */
const shortMs = 5_000;
/** So many short connections in a row that the broker closed mean a second client with our id. */
const maxKicks = 3;
const kickPauseMs = 60_000;
const standardLimits: BackoffLimits = { baseMs: 1_000, maxMs: 60_000 };

export type Retry = {
  /** Until the next attempt, ms. */
  readonly pauseMs: number;
  /** Another client probably uses the same client id. */
  readonly isKicked: boolean;
};

/** Decides when the next connection is tried, and with which protocol. */
export class Reconnect {
  readonly #backoff: Backoff;
  readonly #protocol: ProtocolChoice;
  readonly #random: Random;
  #kicks = 0;

  constructor(protocol: "auto" | "5" | "3.1.1", random: Random, limits: BackoffLimits = standardLimits) {
    this.#backoff = new Backoff(limits, random);
    this.#protocol = new ProtocolChoice(protocol);
    this.#random = random;
  }

  version(): ProtocolVersion {
    return this.#protocol.next();
  }

  opened(): void {
    this.#protocol.accepted();
  }

  /** @param livedMs  from the broker's consent to the end; null when it did not consent */
  ended(end: MqttEnd, livedMs: number | null): Retry {
    if (livedMs === null) {
      this.#kicks = 0;
      if (isVersionRefusal(end) && this.#protocol.refused()) return { pauseMs: 0, isKicked: false };
      if (end.why === "closed" && end.wasConnected) this.#protocol.closedSilently();
      return { pauseMs: this.#backoff.next(), isKicked: false };
    }
    if (livedMs >= shortMs) {
      this.#backoff.succeeded();
      this.#kicks = 0;
    }
    if (end.why === "taken" || (end.why === "closed" && livedMs < shortMs)) this.#kicks++;
    if (this.#kicks < maxKicks) return { pauseMs: this.#backoff.next(), isKicked: false };
    // Two rivals that wait equally long would only meet again.
    return { pauseMs: Math.round(kickPauseMs * (1 + this.#random() / 10)), isKicked: true };
  }
}

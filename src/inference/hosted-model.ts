import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Bundle } from "./bundle.ts";
import type { LoadAnswer } from "./model-protocol.ts";

/** A model may end its process this often in a row before it is disabled. */
const maxCrashes = 3;
const firstRetryMs = 30_000;
const maxRetryMs = 600_000;

/** One version of a model in the model process, as the daemon sees it. */
export class HostedModel {
  readonly key: number;
  readonly bundle: Bundle;
  readonly name: string;
  readonly version: number;
  readonly hash: string;
  #answer: LoadAnswer | undefined;
  #state: "loading" | "ready" | "disabled" = "loading";
  #crashes = 0;
  #retryMs = firstRetryMs;
  #retryAt = 0;
  #fault = "";
  readonly #clock: Clock;

  constructor(key: number, bundle: Bundle, clock: Clock) {
    this.key = key;
    this.bundle = bundle;
    this.name = bundle.name;
    this.version = bundle.card.version;
    this.hash = bundle.hash;
    this.#clock = clock;
  }

  get isDisabled(): boolean {
    return this.#state === "disabled";
  }

  get retryInMs(): number {
    return Math.max(0, this.#retryAt - this.#clock.monotonic());
  }

  /** Numbers per window of each output, in the card's order. */
  get widths(): readonly number[] {
    return this.#answer?.widths ?? [];
  }

  get summary() {
    const { name, version, hash } = this;
    return { name, version, hash, state: this.#state, fault: this.#fault, providers: this.#answer?.providers ?? [] };
  }

  loaded(answer: LoadAnswer): void {
    this.#answer = answer;
    this.#state = "ready";
  }

  /** It gave a result: earlier crashes are forgotten. */
  proved(): void {
    this.#crashes = 0;
    this.#retryMs = firstRetryMs;
    this.#fault = "";
  }

  /** It ended the process. True when that was once too often, and it is disabled now. */
  crashed(): boolean {
    if (++this.#crashes < maxCrashes) return false;
    this.disable(new TidegateError("BUG", { detail: "it ended the model process" }));
    return true;
  }

  disable(error: Error): void {
    this.#state = "disabled";
    this.#fault = error.message;
    this.#retryAt = this.#clock.monotonic() + this.#retryMs;
    this.#retryMs = Math.min(maxRetryMs, this.#retryMs * 2);
  }

  isDueForRetry(now: number): boolean {
    return this.isDisabled && now >= this.#retryAt;
  }

  /** One more chance: the next crash disables it again, for longer. */
  retry(): void {
    this.#state = "loading";
    this.#crashes = maxCrashes - 1;
  }

  disabledError(): TidegateError {
    return new TidegateError("MODEL_DISABLED", { model: this.name, version: this.version, reason: this.#fault });
  }
}

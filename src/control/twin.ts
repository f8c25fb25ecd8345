import type { Clock } from "../base/clock.ts";
import { exitCodes, reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Tree } from "../config/layers.ts";
import type { LoadedConfig } from "../config/load.ts";
import { egressErrors, type KeyError, overlayNeeds } from "./overlay-rules.ts";
import type { Policy } from "./policy.ts";
import { judgeTrial, type Vitals } from "./trial-verdict.ts";
import {
  begun,
  committed,
  inForce,
  newestOf,
  type Overlay,
  refused,
  reset,
  reverted,
  staged,
  type TwinOutcome,
  type TwinState,
} from "./twin-state.ts";
import type { TwinStore } from "./twin-store.ts";

export type TwinOptions = {
  readonly store: TwinStore;
  /** Loads the configuration with an overlay. @throws TidegateError CONFIG_INVALID … */
  load(overlay: Tree | null): LoadedConfig;
  readonly clock: Clock;
  readonly log: Log;
};

/** What the daemon does for its twin. */
export type TwinHost = {
  /** Brings into force what `load` gives now; resolves with the reason when that failed and the old one runs on. */
  apply(): Promise<string | null>;
  vitals(): Vitals;
  /** Something is to be told to the cloud. */
  changed(outcome: TwinOutcome | null): void;
};

/**
 * The configuration from afar: staged, tried, judged, and given up for the last good one by itself. It lives as long as
 * the process, while gateways come and go under it. Whatever is wrong with an overlay, the gateway starts without it.
 */
export class Twin {
  readonly #options: TwinOptions;
  #state: TwinState;
  #host: TwinHost | undefined;
  /** The overlay does not go with the site's configuration as it is now: left out in this life, not forgotten. */
  #isLeftOut = false;
  #timer: NodeJS.Timeout | undefined;
  /** What came of it before there was anybody to tell. */
  #untold: TwinOutcome | null = null;
  #last: Promise<unknown> = Promise.resolve();

  /** @throws TidegateError FILE_UNREADABLE */
  constructor(options: TwinOptions) {
    this.#options = options;
    const { state, isDamaged } = options.store.load();
    if (isDamaged) options.log.error("the configuration from afar cannot be read: the site's own is in force");
    this.#state = state;
  }

  /** The start of a process is a start of what is on trial; one that cannot be counted could go on for ever. */
  async begin(): Promise<void> {
    try {
      await this.#put(begun(this.#state));
    } catch (thrown) {
      this.#options.log.error({ reason: reasonOf(thrown) }, "a start on trial cannot be counted: it is left out");
      this.leaveOut();
    }
  }

  /** From now on there is a daemon that things can be tried on. */
  attach(host: TwinHost): void {
    this.#host = host;
    if (this.#untold) host.changed(this.#untold);
    this.#untold = null;
    if (this.#state.trial && !this.#isLeftOut) this.#watch();
    else if (this.#state.trial) void this.#giveUp();
  }

  /** It was left out while it was on trial. */
  #giveUp(): Promise<void> {
    return this.#inTurn(() => this.#put(reverted(this.#state, "it cannot be used here"), true));
  }

  detach(): void {
    clearTimeout(this.#timer);
    this.#host = undefined;
  }

  /** The configuration in force: with the overlay, or without it where they do not go together. */
  load(): LoadedConfig {
    const { load, log } = this.#options;
    const overlay = this.overlay;
    if (overlay !== null)
      try {
        return load(overlay);
      } catch (thrown) {
        log.error(
          { reason: reasonOf(thrown), faults: faultsOf(thrown) },
          "the configuration from afar does not load: it is left out",
        );
        this.#isLeftOut = true;
      }
    return load(null);
  }

  get overlay(): Tree | null {
    return this.#isLeftOut ? null : (inForce(this.#state)?.config ?? null);
  }

  /**
   * The gateway did not start with the overlay: it is given up where it may be to blame.
   * @returns whether to try again without it
   */
  async startFailed(thrown: unknown): Promise<boolean> {
    if (this.overlay === null || !isOfConfiguration(thrown)) return false;
    const reason = reasonOf(thrown);
    if (this.#state.trial) await this.#put(reverted(this.#state, `it did not start: ${reason}`));
    else this.#isLeftOut = true;
    return true;
  }

  /** The overlay is not in force in this life. */
  leaveOut(): void {
    this.#isLeftOut = true;
  }

  /** What is wrong with an overlay, without doing anything about it. */
  check(config: Tree, policy: Policy | null, signers: readonly string[]): KeyError[] {
    const { errors } = overlayNeeds(config);
    if (errors.length > 0) return [...errors];
    try {
      return egressErrors(this.#options.load(config).config, this.#options.load(null).config, policy, signers);
    } catch (thrown) {
      return faultsOf(thrown);
    }
  }

  /** Takes a desired configuration that the gate has accepted. What was dealt with already changes nothing. */
  propose(overlay: Overlay, policy: Policy | null, signers: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      if (overlay.version <= newestOf(this.#state)) return;
      const errors = this.check(overlay.config, policy, signers);
      if (errors.length > 0) return this.#put(refused(this.#state, overlay, "it has faults", errors), true);
      await this.#put(staged(this.#state, overlay, this.#host?.vitals() ?? null));
      await this.#put(begun(this.#state));
      this.#isLeftOut = false;
      const reason = await this.#host?.apply();
      if (typeof reason === "string") await this.#put(reverted(this.#state, `it did not start: ${reason}`), true);
      else this.#watch();
      this.#host?.changed(null);
    });
  }

  /** Breaks the glass: back to what the site itself says. */
  reset(reason: string): Promise<void> {
    return this.#inTurn(async () => {
      clearTimeout(this.#timer);
      await this.#put(reset(this.#state, reason), true);
      await this.#host?.apply();
    });
  }

  /** What the cloud is told. */
  get report() {
    const { good, trial, last } = this.#state;
    const brief = (overlay: Overlay | null) => overlay && { version: overlay.version, hash: overlay.hash };
    return {
      applied: this.#isLeftOut ? null : brief(inForce(this.#state)),
      good: brief(good),
      trial: trial && { ...brief(trial.overlay), starts: trial.starts },
      isLeftOut: this.#isLeftOut,
      last,
    };
  }

  #watch(): void {
    clearTimeout(this.#timer);
    const { trialWindow } = this.#options.load(null).config.control;
    this.#timer = setTimeout(() => void this.#inTurn(() => this.#judge()), trialWindow);
  }

  async #judge(): Promise<void> {
    const host = this.#host;
    const { trial } = this.#state;
    if (!host || !trial) return;
    const verdict = judgeTrial(trial.before, host.vitals());
    if (verdict.verdict !== "revert")
      return verdict.verdict === "wait" ? this.#watch() : this.#put(committed(this.#state), true);
    await this.#put(reverted(this.#state, verdict.reason), true);
    await host.apply();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch((thrown: unknown) =>
      this.#options.log.error({ reason: reasonOf(thrown) }, "the configuration from afar could not be dealt with"),
    );
    return this.#last as Promise<void>;
  }

  /** Durable before anything is done by it. */
  async #put(state: TwinState, isTold = false): Promise<void> {
    if (state === this.#state) return;
    const { last } = state;
    const isNew = last !== this.#state.last;
    await this.#options.store.save(state);
    this.#state = state;
    if (isNew && last)
      this.#options.log.info(
        { version: last.version, outcome: last.outcome, reason: last.reason },
        "configuration from afar",
      );
    if (!this.#host && isNew) this.#untold = last;
    if (isTold) this.#host?.changed(isNew ? last : null);
  }
}

/** Faults that the process would leave with 77 or 78 for; of keys no overlay has a say. */
const isOfConfiguration = (thrown: unknown): boolean =>
  thrown instanceof TidegateError &&
  (thrown.exit === exitCodes.config || thrown.exit === exitCodes.secret) &&
  !thrown.code.startsWith("KEY");

function faultsOf(thrown: unknown): KeyError[] {
  const faults = thrown instanceof TidegateError ? thrown.facts.faults : undefined;
  if (!Array.isArray(faults)) return [{ path: "", message: reasonOf(thrown) }];
  return faults.map(({ path, message }: KeyError) => ({ path, message }));
}

import { reasonOf, TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import type { Log } from "../../base/log.ts";
import type { RoundDocument } from "../round-document.ts";
import { isSelected } from "../selection.ts";
import type { UpdateReceipt } from "../update-receipt.ts";
import { type DeliveryPort, deliver } from "./delivery.ts";
import {
  noRounds,
  type PendingUpdate,
  type RoundState,
  residualFor,
  roundKey,
  updateAnswered,
  updateCounted,
  updateMade,
} from "./round-state.ts";

/** Where a model's round stands on this gateway. `declined`, `not-selected` and `refused` have no update. */
export type RoundStanding = {
  readonly round: number;
  readonly state:
    | ("not-selected" | "declined" | "refused" | "waiting" | "training" | "sending")
    | ("accepted" | "duplicate" | "stale" | "rejected" | "given-up" | "closed");
  readonly reason?: string;
};

/** What was made of a round: an update whose files are durable. */
export type MadeUpdate = Omit<PendingUpdate, "round" | "key" | "box">;

export type ModelRoundsPort = DeliveryPort & {
  /** The state as it was saved last; null: there is none. */
  load(): Promise<RoundState | null>;
  /** Resolves when it is durable. Files that it does not name may go then. */
  save(state: RoundState): Promise<void>;
  /** Bytes of an update. */
  read(file: string): Promise<Uint8Array>;
  /** Why the gateway's readings are not what the model takes; null when they are. */
  mismatch(): Promise<string | null>;
  /** Resolves when the weights that a round begins with are here: it may wait for a model update that brings them. */
  base(round: RoundDocument, signal: AbortSignal): Promise<void>;
  /**
   * Waits for its turn, for the hours and the gates, and trains. Null: the signal ended it.
   * @throws TidegateError; TRAINER_ENDED is tried again, anything else declines the round
   */
  train(
    round: RoundDocument,
    state: RoundState,
    tell: (state: "waiting" | "training", reason?: string) => void,
    signal: AbortSignal,
  ): Promise<MadeUpdate | null>;
  /** Opens a receipt. @throws TidegateError when it is not signed by who signed the round */
  openReceipt(payload: Uint8Array): UpdateReceipt;
  tell(standing: RoundStanding): void;
};

const maxTrainings = 3;
const trainAgainMs = 5_000;
/** Tries without any word, while a newer round is open, after which nobody will say. */
const maxSilentTries = 24;

/** One model's rounds on a gateway: at most one update of each, sent until it is answered, counted once. */
export class ModelRounds {
  readonly model: string;
  readonly #port: ModelRoundsPort;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #state: RoundState = noRounds;
  /** The newest document. */
  #round: RoundDocument | null = null;
  /** Round that is passed over in this life: not selected, declined, or it failed too often. */
  #passed: string | null = null;
  /** The newest receipt that nobody has looked at; a newer one says more. */
  #receipt: UpdateReceipt | null = null;
  #training: { readonly key: string; readonly abort: AbortController } | undefined;
  #changed = Promise.withResolvers<void>();
  #running: Promise<void> = Promise.resolve();

  constructor(model: string, port: ModelRoundsPort) {
    this.model = model;
    this.#port = port;
    this.#log = port.log;
  }

  async start(): Promise<void> {
    this.#state = (await this.#port.load()) ?? noRounds;
    this.#running = this.#run().catch((thrown: unknown) =>
      this.#log.error({ model: this.model, reason: reasonOf(thrown) }, "the rounds of a model ended"),
    );
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#training?.abort.abort();
    this.#wake();
    await this.#running;
  }

  /**
   * Takes a document that the gate let in. A coordinator of an older epoch was restored from a backup, or has been
   * overtaken: it is not followed.
   */
  async take(round: RoundDocument): Promise<void> {
    const { epoch } = this.#state;
    if (round.epoch < epoch) {
      const reason = `its coordinator has epoch ${round.epoch}, the fleet has had ${epoch}`;
      this.#log.warn({ model: this.model, round: round.round, reason }, "a round was refused");
      this.#port.tell({ round: round.round, state: "refused", reason });
      return;
    }
    // Durable before anything is done for it: else a crash would forget it, and the way back were open.
    if (round.epoch > epoch) await this.#save({ ...this.#state, epoch: round.epoch });
    this.#round = round;
    const isOver = this.#training && (roundKey(round) !== this.#training.key || round.state === "closed");
    if (isOver && !this.#isTakenLate(round)) this.#training?.abort.abort();
    // How it ended here says more than that it is over.
    if (round.state === "closed" && !this.#state.pending && this.#isNew(round))
      this.#port.tell({ round: round.round, state: "closed" });
    this.#wake();
  }

  /** In asynchronous rounds a late update counts still. */
  #isTakenLate({ maxStaleness = 0 }: RoundDocument): boolean {
    return maxStaleness > 0;
  }

  /** Takes a receipt, as it came. */
  receive(payload: Uint8Array): void {
    try {
      const receipt = this.#port.openReceipt(payload);
      if (receipt.model !== this.model || receipt.update !== this.#state.pending?.update) return;
      this.#receipt = receipt;
      this.#wake();
    } catch (thrown) {
      this.#log.warn({ model: this.model, reason: reasonOf(thrown) }, "a receipt was refused");
    }
  }

  /** The line is back: what waits for an answer asks again. */
  wake(): void {
    this.#wake();
  }

  /** What was made of readings is gone, and with it the update that waits and what was held back. */
  async erased(): Promise<void> {
    this.#training?.abort.abort();
    const { epoch, done, pending } = this.#state;
    await this.#save({ ...noRounds, epoch, done: pending?.key ?? done });
    this.#wake();
  }

  async #save(state: RoundState): Promise<void> {
    await this.#port.save(state);
    this.#state = state;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const round = this.#round;
      // Without a document of this life it is not known who signs receipts, nor which key opens the parts.
      if (this.#state.pending && round) await this.#deliver(this.#state.pending);
      else if (round?.state === "open" && this.#isNew(round)) await this.#takePart(round);
      else await this.#nextChange();
    }
  }

  #isNew(round: RoundDocument): boolean {
    const key = roundKey(round);
    return key !== this.#state.done && key !== this.#passed;
  }

  async #takePart(round: RoundDocument): Promise<void> {
    const key = roundKey(round);
    const abort = new AbortController();
    this.#training = { key, abort };
    try {
      const reason = await this.#reasonAgainst(round);
      if (reason !== null) return this.#pass(round, reason.state, reason.reason);
      await this.#train(round, AbortSignal.any([abort.signal, this.#stop.signal]));
    } catch (thrown) {
      this.#pass(round, "declined", reasonOf(thrown));
    } finally {
      this.#training = undefined;
    }
  }

  async #reasonAgainst(round: RoundDocument): Promise<Pick<RoundStanding, "state" | "reason"> | null> {
    if (round.phase !== "submit")
      return { state: "declined", reason: `this release does not know the phase ${round.phase}` };
    if (!isSelected(this.#port.gateway, round)) return { state: "not-selected" };
    const reason = await this.#port.mismatch();
    return reason === null ? null : { state: "declined", reason };
  }

  async #train(round: RoundDocument, signal: AbortSignal): Promise<void> {
    const tell = (state: "waiting" | "training", reason?: string) =>
      this.#port.tell({ round: round.round, state, ...(reason === undefined ? {} : { reason }) });
    tell("waiting", "for its base");
    await this.#port.base(round, signal);
    for (let tries = 1; !signal.aborted; tries++) {
      try {
        // Of another line nothing is carried over.
        const state = { ...this.#state, residual: residualFor(this.#state, round) };
        const made = await this.#port.train(round, state, tell, signal);
        if (signal.aborted) return;
        if (!made) {
          // Readings are being erased: it begins anew with those that are left.
          await sleep(trainAgainMs, signal);
          continue;
        }
        const pending = { ...made, round: round.round, key: roundKey(round), box: round.box };
        return await this.#save(updateMade(this.#state, round, pending));
      } catch (thrown) {
        const isKilled = thrown instanceof TidegateError && thrown.code === "TRAINER_ENDED";
        if (!isKilled || tries === maxTrainings) throw thrown;
        tell("waiting", reasonOf(thrown));
        await sleep(trainAgainMs, signal);
      }
    }
  }

  async #deliver(pending: PendingUpdate): Promise<void> {
    const { round, key, update, file } = pending;
    const port = this.#port;
    let bytes: Uint8Array;
    try {
      bytes = await port.read(file);
    } catch (thrown) {
      // Damaged, or its secret was erased. Whether some of it had counted is not known.
      port.tell({ round, state: "given-up", reason: reasonOf(thrown) });
      return this.#save(updateCounted(this.#state));
    }
    port.tell({ round, state: "sending" });
    const receipt = await deliver(
      {
        model: this.model,
        round,
        bytes,
        box: () => Buffer.from(this.#round?.box ?? pending.box, "base64"),
        receipt: (timeoutMs) => this.#nextReceipt(timeoutMs),
        isHopeless: (tries) =>
          this.#state.pending?.update !== update ||
          (tries >= maxSilentTries && this.#round !== null && roundKey(this.#round) !== key),
        signal: this.#stop.signal,
      },
      port,
    );
    if (this.#stop.signal.aborted || this.#state.pending?.update !== update) return;
    if (receipt === null) {
      port.tell({ round, state: "given-up", reason: "no receipt ever came" });
      return this.#save(updateCounted(this.#state));
    }
    await this.#save(updateAnswered(this.#state, receipt));
    const { status, reason } = receipt;
    if (status !== "partial") port.tell({ round, state: status, ...(reason === undefined ? {} : { reason }) });
    this.#log.info({ model: this.model, round, status, reason }, "an update was answered");
  }

  #pass(round: RoundDocument, state: RoundStanding["state"], reason?: string): void {
    this.#passed = roundKey(round);
    this.#port.tell({ round: round.round, state, ...(reason === undefined ? {} : { reason }) });
    if (reason !== undefined)
      this.#log.info({ model: this.model, round: round.round, reason }, "a round is passed over");
  }

  async #nextReceipt(timeoutMs: number): Promise<UpdateReceipt | null> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    try {
      while (!late.signal.aborted && !this.#stop.signal.aborted) {
        const receipt = this.#receipt;
        this.#receipt = null;
        if (receipt && receipt.update === this.#state.pending?.update) return receipt;
        if (!this.#state.pending) return null;
        const changed = this.#changed.promise;
        await Promise.race([changed, sleep(timeoutMs, late.signal)]);
      }
      return null;
    } finally {
      clearTimeout(timer);
      late.abort();
    }
  }

  #nextChange(): Promise<void> {
    return this.#stop.signal.aborted ? Promise.resolve() : this.#changed.promise;
  }

  #wake(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }
}

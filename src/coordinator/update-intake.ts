import type { Clock } from "../base/clock.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { fingerprint, type Signer } from "../crypto/signing.ts";
import { decodeUpdate, type Update } from "../federated/update-header.ts";
import { decodePart, type PartHead, type PartReader, type UpdatePart } from "../federated/update-parts.ts";
import { type RefusalReason, receiptName, signReceipt, type UpdateReceipt } from "../federated/update-receipt.ts";
import type { FleetTopics } from "../wire/topics.ts";
import type { Enrolments } from "./enrolments.ts";
import type { ModelRounds } from "./model-rounds.ts";
import { PartAssembly } from "./part-assembly.ts";

export type UpdateIntakeOptions = {
  readonly fleet: string;
  readonly topics: FleetTopics;
  readonly keys: PartReader["secretKeys"];
  readonly signer: Signer;
  readonly enrolments: Enrolments;
  readonly models: ReadonlyMap<string, ModelRounds>;
  readonly maxTransferBytes: number;
  publish(topic: string, payload: string): void;
  readonly clock: Clock;
  readonly log: Log;
};

type Answer = Pick<UpdateReceipt, "status" | "reason" | "missing">;

const logPauseMs = 60_000;
const maxLogged = 4_096;
const rejected = (reason: RefusalReason): Answer => ({ status: "rejected", reason });

/**
 * Takes updates in, part by part. Whoever signed with a key that was never a member's gets no answer: a receipt for a
 * stranger could be made to look like one for the gateway whose name it used. Everybody else is told what became of it.
 */
export class UpdateIntake {
  readonly #options: UpdateIntakeOptions;
  readonly #assembly: PartAssembly;
  readonly #loggedAt = new Map<string, number>();
  readonly counters = { parts: 0, bytes: 0, accepted: 0, duplicates: 0, unopened: 0, failures: 0 };
  /** Updates that were not taken, by reason. */
  readonly refused: Record<string, number> = {};

  constructor(options: UpdateIntakeOptions) {
    this.#options = options;
    this.#assembly = new PartAssembly(options.maxTransferBytes);
  }

  get waiting(): { transfers: number; bytes: number; evicted: number } {
    const { transfers, bytes, evicted } = this.#assembly;
    return { transfers, bytes, evicted };
  }

  /** A message on an update's topic. Never rejects for what it holds. @returns the model whose round may now be full */
  async receive(topic: string, payload: Uint8Array): Promise<ModelRounds | null> {
    this.counters.parts++;
    this.counters.bytes += payload.length;
    const part = this.#open(topic, payload);
    if (!part) return null;
    const rounds = this.#options.models.get(part.head.model);
    try {
      const answer = await this.#judge(part, rounds);
      if (answer) this.#answer(part.head, answer, rounds);
      return answer?.status === "accepted" ? (rounds ?? null) : null;
    } catch (thrown) {
      this.counters.failures++;
      if (thrown instanceof TidegateError && thrown.code === "COORDINATOR_FENCED") throw thrown;
      // The disk, most likely: nothing was taken, and the gateway keeps what it has.
      this.#options.log.error(
        { gateway: part.head.gateway, reason: reasonOf(thrown) },
        "an update could not be stored",
      );
      this.#answer(part.head, { status: "partial", reason: "busy", missing: [] }, rounds);
      return null;
    }
  }

  #open(topic: string, payload: Uint8Array): UpdatePart | null {
    const { keys, fleet, topics, enrolments } = this.#options;
    try {
      return decodePart(payload, {
        secretKeys: keys,
        admit: (head) => {
          const isOwnTopic = topics.gateway(head.gateway).update(head.model, head.round) === topic;
          if (head.fleet !== fleet || !isOwnTopic)
            throw new TidegateError("UPDATE_INVALID", { reason: `it came on ${topic}, which is not its own topic` });
          if (enrolments.standing(head.gateway, head.signer) !== "stranger") return;
          const facts = { gateway: head.gateway, key: fingerprint(head.signer), reason: "its key is no member's" };
          throw new TidegateError("UPDATE_UNTRUSTED", facts);
        },
      });
    } catch (thrown) {
      this.counters.unopened++;
      this.#logRefusal(topic, thrown instanceof TidegateError ? thrown.code : "BUG", reasonOf(thrown));
      return null;
    }
  }

  /** What a part is told; null: nothing yet, others are under way. */
  async #judge(part: UpdatePart, rounds: ModelRounds | undefined): Promise<Answer | null> {
    const { head } = part;
    if (this.#options.enrolments.standing(head.gateway, head.signer) === "removed") return rejected("removed");
    if (!rounds) return rejected("other-round");
    // Where the rounds stand is not known yet: what is not answered is sent again.
    if (!rounds.isLed) return null;
    const early = await rounds.screen(head);
    if (early) {
      this.#assembly.forget(head);
      return early;
    }
    const assembled = this.#assembly.add(part);
    if (assembled.state === "broken") return rejected("malformed");
    if (assembled.state === "partial") {
      // The last part, or one that came before: the gateway has sent what it had, or has lost sight of what is missing.
      const isAsked = assembled.isRepeat || head.n === head.of - 1;
      return isAsked ? { status: "partial", missing: [...assembled.missing] } : null;
    }
    const update = parse(assembled.update);
    return "status" in update ? update : rounds.take(update, head);
  }

  #answer(head: PartHead, answer: Answer, rounds: ModelRounds | undefined): void {
    const { fleet, topics, signer, publish } = this.#options;
    const { gateway, model, round, update } = head;
    this.#count(head, answer);
    const version = rounds?.documentVersion ?? 1;
    const receipt = signReceipt(fleet, gateway, { version, model, round, update, ...answer }, signer);
    publish(topics.gateway(gateway).receipt(receiptName(model)), receipt);
  }

  #count({ gateway, model, round }: PartHead, { status, reason }: Answer): void {
    if (status === "accepted") this.counters.accepted++;
    if (status === "duplicate") this.counters.duplicates++;
    if (reason === undefined) return;
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
    this.#logRefusal(`${gateway}/${model}/${round}`, reason, status);
  }

  #logRefusal(about: string, code: string, reason: string): void {
    const { clock, log } = this.#options;
    const name = `${about} ${code}`;
    const now = clock.monotonic();
    if (now - (this.#loggedAt.get(name) ?? Number.NEGATIVE_INFINITY) < logPauseMs) return;
    if (this.#loggedAt.size >= maxLogged) this.#loggedAt.clear();
    this.#loggedAt.set(name, now);
    log.warn({ about, code, reason }, "an update was not taken");
  }
}

function parse(bytes: Uint8Array): Update | Answer {
  try {
    return decodeUpdate(bytes);
  } catch (thrown) {
    if (!(thrown instanceof TidegateError)) throw thrown;
    return rejected(thrown.facts.refusal === "not-finite" ? "not-finite" : "malformed");
  }
}

import { randomBytes } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { fingerprint } from "../crypto/signing.ts";
import {
  type EnrolmentAnswer,
  type EnrolmentClaim,
  isProvenBy,
  openEnrolment,
  tokenHash,
} from "../federated/enrolment.ts";
import { type CoordinatorStore, type Member, maxRequests, maxTokens, type TokenUse } from "./coordinator-store.ts";

/** Who is in the fleet, kept at hand: every part of an update asks for it. */
export class Enrolments {
  readonly #store: CoordinatorStore;
  readonly #fleet: string;
  readonly #log: Log;
  #members = new Map<string, Member>();

  constructor(store: CoordinatorStore, fleet: string, log: Log) {
    this.#store = store;
    this.#fleet = fleet;
    this.#log = log;
  }

  async load(): Promise<void> {
    this.#members = new Map((await this.#store.members()).map((member) => [member.gateway, member]));
  }

  /** Members and those that were members, by id. */
  get all(): readonly Member[] {
    return [...this.#members.values()];
  }

  get count(): number {
    return this.all.filter(({ removedAt }) => removedAt === null).length;
  }

  /** Whether a gateway is a member: one that was removed has no say any more. */
  has(gateway: string): boolean {
    return this.#members.get(gateway)?.removedAt === null;
  }

  /** Whether this key is, or was, the gateway's. */
  standing(gateway: string, key: Uint8Array): "member" | "removed" | "stranger" {
    const member = this.#members.get(gateway);
    if (!member || Buffer.compare(member.key, key) !== 0) return "stranger";
    return member.removedAt === null ? "member" : "removed";
  }

  /**
   * Takes a gateway in by an operator's word.
   * @param key  its public key; absent: the one that it asked with
   * @throws TidegateError ENROLMENT_REFUSED when there is neither
   */
  async enrol(gateway: string, key: Uint8Array | undefined, at: number): Promise<{ gateway: string; key: string }> {
    const asked = key ?? (await this.#store.requests()).find((request) => request.gateway === gateway)?.key;
    if (!asked)
      throw new TidegateError("ENROLMENT_REFUSED", { gateway, reason: "it has not asked, and no key is given" });
    await this.#store.enrol(gateway, asked, at);
    await this.load();
    this.#log.info({ gateway, fingerprint: fingerprint(asked) }, "a gateway was taken into the fleet");
    return { gateway, key: fingerprint(asked) };
  }

  /** Takes a gateway out, or away what it has asked. @throws TidegateError ROUND_ABSENT when it is no member */
  async remove(gateway: string, at: number): Promise<void> {
    if (!(await this.#store.remove(gateway, at)))
      throw new TidegateError("ROUND_ABSENT", { what: `member ${gateway}` });
    await this.load();
    this.#log.info({ gateway }, "a gateway was removed from the fleet");
  }

  /**
   * Makes a token that one gateway may use once.
   * @param gateway  the only one that may; null: any new one
   */
  async newToken(gateway: string | null, expiresAt: number): Promise<string> {
    const token = randomBytes(24).toString("base64url");
    if (await this.#store.addToken({ hash: tokenHash(token), gateway, expiresAt })) return token;
    throw new TidegateError("ENROLMENT_REFUSED", {
      gateway: gateway ?? "*",
      reason: `${maxTokens} tokens are out already`,
    });
  }

  /** A request as it came: whom to answer, and what. Null when it is none, or another gateway's. */
  async request(
    payload: Uint8Array,
    gateway: string,
    at: number,
  ): Promise<{ claim: EnrolmentClaim; answer: EnrolmentAnswer } | null> {
    let claim: EnrolmentClaim;
    try {
      claim = openEnrolment(payload, this.#fleet);
    } catch (thrown) {
      if (thrown instanceof TidegateError) return null;
      throw thrown;
    }
    if (claim.gateway !== gateway) return null;
    const answer = await this.#decide(claim, at);
    this.#log.info(
      { gateway, fingerprint: fingerprint(claim.key), ...answer },
      "a gateway asks to be taken into the fleet",
    );
    return { claim, answer };
  }

  async #decide(claim: EnrolmentClaim, at: number): Promise<EnrolmentAnswer> {
    const { gateway, key } = claim;
    if (this.standing(gateway, key) === "member") return { status: "enrolled" };
    if (claim.proof === null) {
      const use = await this.#store.addRequest({ gateway, key, at });
      if (use === "kept") return { status: "waiting" };
      return { status: "refused", reason: use === "full" ? `${maxRequests} wait already` : use };
    }
    const token = (await this.#store.tokens()).find(({ hash }) => isProvenBy(claim, this.#fleet, hash));
    const use: TokenUse = token ? await this.#store.useToken(token.hash, gateway, key, at) : "unknown";
    if (use !== "enrolled") return { status: "refused", reason: use };
    await this.load();
    return { status: "enrolled" };
  }
}

import { hash, randomBytes } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type OpenedDocument, openDocument } from "../crypto/signed-document.ts";
import type { Anchor } from "./anchor.ts";
import type { Audit } from "./audit.ts";
import { type DocumentKind, documentKinds } from "./document-kinds.ts";
import { type Action, decide, type Policy, type Scope } from "./policy.ts";
import { keysOf } from "./policy-text.ts";
import type { TrustedTime, TrustState } from "./trusted-time.ts";

/** Why a document is refused: scripts and metrics rely on these words. */
export const refusals = [
  "malformed",
  "unknown-key",
  "too-few-signatures",
  "wrong-kind",
  "wrong-audience",
  "old-version",
  "expired",
  "challenge",
  "policy",
  "unanchored",
] as const;
export type Refusal = (typeof refusals)[number];

/** What a document asks for, in the policy's words; the gateway is the gate's own unless it is given. */
export type DocumentUse = {
  readonly action: Action;
  readonly resource?: Scope<string>;
  /** It destroys or reverts something: it must carry the reader's current challenge. */
  readonly isDestructive?: boolean;
};

/** What follows from what a document says; `keys`: fingerprints of those that signed it. A throw: it is malformed. */
type UseOf = (document: OpenedDocument, keys: readonly string[]) => DocumentUse;

export type AcceptedDocument = {
  readonly document: OpenedDocument;
  /** Names of the principals who signed. */
  readonly signedBy: string[];
  /** SHA-256 of what was signed, hex. */
  readonly hash: string;
  /** The same was accepted before: a broker repeats what it retains. */
  readonly isRepeat: boolean;
};

export type DocumentGateOptions = {
  readonly fleet: string;
  /** Id of this gateway; `@coordinator` on the cloud side. */
  readonly gateway: string;
  /** Null: there is none, and everything is refused. */
  policy(): Policy | null;
  readonly state: TrustState;
  readonly audit: Audit;
  readonly trustedTime: Pick<TrustedTime, "now" | "atLeast" | "saw">;
  readonly log: Log;
  /** What tells that `state` is not the one that it was: nothing is accepted then. */
  readonly anchor?: Pick<Anchor, "fault" | "advance">;
  /** The challenge is another from now on: it has to be told. */
  onChallenge?(challenge: string): void;
};

const challengeBytes = 16;
/** A signer's clock may be ahead by so much, ms. */
const maxAheadMs = 24 * 3_600_000;

/**
 * The one door for signed documents: who signed, whether they may, whether it is for this reader, and newer than what
 * is here. The version is durable before the document is handed on, so that a crash never lets it in twice. Documents
 * are judged one after another.
 */
export class DocumentGate {
  readonly #options: DocumentGateOptions;
  readonly #counts = new Map<Refusal | "accepted", number>();
  #challenge = newChallenge();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DocumentGateOptions) {
    this.#options = options;
  }

  /** What a destructive document must carry: fresh at every start and after each use. */
  get challenge(): string {
    return this.#challenge;
  }

  /** Documents by outcome since the start. */
  get counts(): ReadonlyMap<Refusal | "accepted", number> {
    return this.#counts;
  }

  /**
   * Judges a document.
   * @param use  what it asks for, or how that follows from what it says
   * @throws TidegateError DOCUMENT_REFUSED { what, reason: Refusal, detail }; STORAGE_FAILED: nothing was accepted
   */
  accept(kind: DocumentKind, envelope: Uint8Array | string, use: DocumentUse | UseOf): Promise<AcceptedDocument> {
    const judged = this.#last.then(() => this.#accept(kind, envelope, use));
    this.#last = judged.catch(() => {});
    return judged;
  }

  async #accept(
    kind: DocumentKind,
    envelope: Uint8Array | string,
    use: DocumentUse | UseOf,
  ): Promise<AcceptedDocument> {
    const seen: Seen = { by: [] };
    try {
      const accepted = await this.#judge(kind, envelope, use, seen);
      if (!accepted.isRepeat) {
        this.#count("accepted");
        await this.#options.audit.append({
          ...{ what: "document", outcome: "accepted", name: kind, by: accepted.signedBy },
          ...(seen.use?.resource ? { resource: seen.use.resource } : {}),
          detail: { action: seen.use?.action, ...versionOf(accepted.document), hash: accepted.hash },
        });
      }
      return accepted;
    } catch (thrown) {
      if (!(thrown instanceof TidegateError) || thrown.code !== "DOCUMENT_REFUSED") throw thrown;
      const reason = String(thrown.facts.reason) as Refusal;
      this.#count(reason);
      this.#options.log.warn({ kind, reason, detail: thrown.facts.detail }, "a document was refused");
      await this.#options.audit.append({
        ...{ what: "document", outcome: "refused", name: kind, by: seen.by, reason },
        ...(seen.use?.resource ? { resource: seen.use.resource } : {}),
        detail: {
          detail: thrown.facts.detail,
          action: seen.use?.action,
          ...(seen.document ? versionOf(seen.document) : {}),
        },
      });
      throw thrown;
    }
  }

  async #judge(
    kind: DocumentKind,
    envelope: Uint8Array | string,
    use: DocumentUse | UseOf,
    seen: Seen,
  ): Promise<AcceptedDocument> {
    const { fleet, gateway, state, trustedTime } = this.#options;
    const refuse = (reason: Refusal, detail: string) => refused(kind, reason, detail);
    const policy = this.#options.policy();
    if (!policy) throw refuse("policy", "there is no policy: everything remote is refused");
    const { keys, owners } = keysOf(policy);
    const opened = openFor(kind, envelope, [fleet, `${fleet}/${gateway}`], keys);
    const { document } = opened;
    seen.document = document;
    seen.by = [...new Set(opened.signedBy.flatMap((key) => owners.get(key) ?? []))];
    const asked = typeof use === "function" ? asMalformed(kind, () => use(document, opened.signedBy)) : use;
    const resource = { gateway, ...asked.resource };
    seen.use = { ...asked, resource };
    const contentHash = hash("sha256", opened.payload, "hex");
    const name = floorName(document);
    const floor = parseFloor(await state.stateGet(name));
    const isRepeat =
      document.version === floor?.version && documentKinds[kind].isRetained && floor.hash === contentHash;
    // Before all else: one that was dealt with is old, whatever became of policy, clock and challenge since.
    if (floor && document.version <= floor.version && !isRepeat)
      throw refuse("old-version", `version ${document.version} is not above ${floor.version}`);
    const decision = decide(policy, { action: asked.action, resource, signers: seen.by });
    if (!decision.isAllowed) {
      const detail = `no rule allows ${asked.action} by ${seen.by.join(", ")}`;
      throw refuse(decision.lacksSigners ? "too-few-signatures" : "policy", detail);
    }
    const { anchor } = this.#options;
    if (anchor?.fault) throw refuse("unanchored", anchor.fault);
    this.#checkTimes(kind, document);
    const accepted = { document, signedBy: seen.by, hash: contentHash, isRepeat };
    if (asked.isDestructive && !isRepeat) this.#spendChallenge(kind, document);
    if (!isRepeat) {
      await state.statePut(name, Buffer.from(`${document.version} ${contentHash}`));
      await anchor?.advance();
    }
    if (seen.by.some((signer) => policy.principals[signer]?.roles.includes("coordinator")))
      await trustedTime.saw(Date.parse(document.issuedAt ?? ""));
    return accepted;
  }

  #checkTimes(kind: DocumentKind, document: OpenedDocument): void {
    const { trustedTime } = this.#options;
    if (document.issuedAt === undefined) throw refused(kind, "malformed", "it does not say when it was issued");
    const issuedAt = Date.parse(document.issuedAt);
    const { now } = trustedTime;
    if (now !== null && issuedAt > now + maxAheadMs)
      throw refused(kind, "expired", `it was issued in the future, at ${document.issuedAt}`);
    // Versions are counts or the signer's clock in ms: one beyond it would shut out everybody who comes after.
    if (document.version > issuedAt)
      throw refused(kind, "malformed", `version ${document.version} is later than the time at which it was issued`);
    if (document.expires === undefined) return;
    const expires = Date.parse(document.expires);
    // Of a clock that nobody keeps it is known how late it is at least: what had expired by then has expired.
    if (expires <= Math.max(issuedAt, trustedTime.atLeast))
      throw refused(kind, "expired", `it expired at ${document.expires}`);
  }

  #spendChallenge(kind: DocumentKind, { challenge }: OpenedDocument): void {
    if (challenge !== this.#challenge)
      throw refused(kind, "challenge", challenge === undefined ? "it carries none" : "it carries another");
    this.#challenge = newChallenge();
    this.#options.onChallenge?.(this.#challenge);
  }

  #count(outcome: Refusal | "accepted"): void {
    this.#counts.set(outcome, (this.#counts.get(outcome) ?? 0) + 1);
  }
}

type Seen = { by: string[]; use?: DocumentUse; document?: OpenedDocument };

const newChallenge = (): string => randomBytes(challengeBytes).toString("hex");

const versionOf = ({ version, subject }: OpenedDocument) => ({
  version,
  ...(subject === undefined ? {} : { subject }),
});

const refused = (what: string, reason: Refusal, detail: string) =>
  new TidegateError("DOCUMENT_REFUSED", { what, reason, detail });

function openFor(
  kind: DocumentKind,
  envelope: Uint8Array | string,
  audience: readonly string[],
  trusted: Uint8Array[],
) {
  try {
    return openDocument(envelope, { kind, audience, trusted, maxBytes: documentKinds[kind].maxBytes });
  } catch (thrown) {
    if (!(thrown instanceof TidegateError)) throw thrown;
    if (thrown.code === "ENVELOPE_INVALID") throw refused(kind, "malformed", thrown.message);
    if (thrown.code === "SIGNATURE_MISSING")
      throw refused(kind, thrown.facts.refusal as Refusal, String(thrown.facts.reason));
    throw thrown;
  }
}

function asMalformed<T>(kind: DocumentKind, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw refused(kind, "malformed", thrown instanceof Error ? thrown.message : String(thrown));
  }
}

/** Under what name the highest version is kept. Names of state.db are not secret: what they are made of may be. */
const floorName = ({ kind, audience, subject }: OpenedDocument): string =>
  `trust/floor/${kind}/${hash("sha256", `${audience}\n${subject ?? ""}`, "hex").slice(0, 32)}`;

function parseFloor(saved: Uint8Array | null): { version: number; hash: string } | null {
  if (!saved) return null;
  const [version = "", contentHash = ""] = Buffer.from(saved).toString("utf8").split(" ");
  return { version: Number(version), hash: contentHash };
}

import type { RoundDocument } from "../federated/round-document.ts";
import type { KeptRollout } from "./rollouts.ts";

/** Who belongs to the fleet. A removed gateway is kept, so that it is told so and does not come back by itself. */
export type Member = {
  readonly gateway: string;
  /** Raw Ed25519 public key [32]. */
  readonly key: Uint8Array;
  /** ms UTC */
  readonly since: number;
  readonly removedAt: number | null;
};

/** A gateway that asks to be taken in and has no token: an operator decides. */
export type EnrolmentRequest = { readonly gateway: string; readonly key: Uint8Array; readonly at: number };

export type EnrolmentToken = {
  /** SHA-256 of the token, hex: the token itself is nowhere but with whom it was given to. */
  readonly hash: string;
  /** The only gateway that may use it; null: any that is no member yet. */
  readonly gateway: string | null;
  /** ms UTC */
  readonly expiresAt: number;
};

/**
 * What becomes of a request. `other-key`: somebody asks under this name already. The first stays, so that an operator who
 * says yes takes in whom they have looked at.
 */
export type RequestUse = "kept" | "full" | "other-key";
export type TokenUse = "enrolled" | "unknown" | "expired" | "used" | "other-gateway" | "other-key";

/** One version of a model's averaged weights. */
export type ModelVersion = {
  readonly model: string;
  readonly version: number;
  /** Hash of the version it was made from; null for the first. */
  readonly parent: string | null;
  /** SHA-256 of `weights`, hex: the `base.hash` of rounds. */
  readonly hash: string;
  /** Names the line of versions that it belongs to. */
  readonly root: string;
  /** What gateways train on: flat vector, float32 little endian. */
  readonly weights: Uint8Array;
  /** The strategy's own weights, of which `weights` tells what the changes have told; null: they are the same. */
  readonly exact: Uint8Array | null;
  /** Memories of the strategy (momentum …), as it writes them. */
  readonly state: Uint8Array;
  /** Numbers that were not learned by averaging: normalisation of round 0, by tensor. */
  readonly tensors: Readonly<Record<string, number[]>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly at: number;
};

/** The step that led to a version, as gateways fetch it. */
export type VersionChange = {
  readonly version: number;
  /** Hashes of the weights before and after. */
  readonly from: string;
  readonly to: string;
  readonly blob: Uint8Array;
};

/**
 * `open`: announced. `collecting`: at least one update. `aggregating`: its updates are settled, nothing is added any more.
 * `published`: there is a new version. `stopped`: ended by an operator without one.
 */
export type RoundState = "open" | "collecting" | "aggregating" | "published" | "stopped";

export type StoredRound = {
  readonly model: string;
  readonly round: number;
  readonly state: RoundState;
  /** As it was announced. */
  readonly document: RoundDocument;
  readonly openedAt: number;
  readonly endedAt: number | null;
  /** Updates that count. */
  readonly accepted: number;
  /** Bytes of all of them, as they travelled. */
  readonly bytesUp: number;
  /** The version that it led to. */
  readonly version: number | null;
  readonly metrics: Readonly<Record<string, number>>;
};

export type AcceptedUpdate = {
  readonly model: string;
  /** The round in which it is counted. */
  readonly cohort: number;
  readonly gateway: string;
  /** The round it was trained in: the same, but for asynchronous rounds. */
  readonly round: number;
  /** SHA-256 of the whole update, hex. */
  readonly update: string;
  readonly weight: number;
  readonly norm: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** As the round's codec wrote it. */
  readonly body: Uint8Array;
  /** Bytes of the whole update. */
  readonly bytes: number;
};

export type Acceptance = "accepted" | "duplicate" | "other-update" | "closed";

/**
 * What a coordinator must not lose. Each method is one step: durable when it resolves, and all of it or nothing, whenever
 * the process is killed. Every step that changes rounds checks the epoch: one that was overtaken changes nothing.
 * All methods may throw TidegateError STORAGE_FAILED (nothing changed, as after a full disk), those with an epoch also
 * COORDINATOR_FENCED.
 */
export type CoordinatorStore = {
  /** The highest epoch that was ever taken here; 0 before the first. */
  epoch(): Promise<number>;
  /** Takes an epoch above all that were taken here and above `above`. Whoever holds an older one is fenced from now on. */
  takeEpoch(above: number): Promise<number>;

  members(): Promise<Member[]>;
  /** Takes a gateway in, or gives it another key, or takes a removed one back; its request is done. */
  enrol(gateway: string, key: Uint8Array, at: number): Promise<void>;
  /** What a gateway has asked goes, too. False when it is no member and has not asked. */
  remove(gateway: string, at: number): Promise<boolean>;
  /** False when there are too many already. */
  addToken(token: EnrolmentToken): Promise<boolean>;
  /** Tokens that may still be asked about, used ones too. */
  tokens(): Promise<EnrolmentToken[]>;
  /** Enrols a gateway by a token, which is then used up: both or neither. */
  useToken(hash: string, gateway: string, key: Uint8Array, at: number): Promise<TokenUse>;
  requests(): Promise<EnrolmentRequest[]>;
  addRequest(request: EnrolmentRequest): Promise<RequestUse>;

  /** The number of this model's newest document; 0 before the first. */
  newestDocument(model: string): Promise<number>;
  /** The next number for a document of this model: never given twice. */
  nextDocument(epoch: number, model: string, above: number): Promise<number>;
  /** The newest, or the one that is named. */
  version(model: string, version?: number): Promise<ModelVersion | null>;
  /** The newest steps between versions, the newest first; at most `keptChanges`. */
  changes(model: string): Promise<VersionChange[]>;
  /** The first version of a line: of a model, from a bundle, or an older one anew. */
  beginModel(epoch: number, version: ModelVersion): Promise<void>;

  /** The newest round of a model. */
  round(model: string): Promise<StoredRound | null>;
  /** Rounds of a model, the newest first. */
  history(model: string, limit: number): Promise<StoredRound[]>;
  /**
   * Opens a round; one that is open already gets this document in place of its own and keeps what it has.
   * @param remaining  rounds that are still to be opened after it; absent: as before
   */
  openRound(epoch: number, document: RoundDocument, at: number, remaining?: number): Promise<void>;
  /** Rounds that are still to be opened; below 0: without an end. */
  remaining(model: string): Promise<number>;
  setRemaining(epoch: number, model: string, rounds: number): Promise<void>;
  /** Takes an update that has been checked, once for each gateway and round trained in, while its cohort collects. */
  accept(epoch: number, update: AcceptedUpdate): Promise<Acceptance>;
  /** The hash of the update that was accepted of this gateway in this round; null when none was. */
  accepted(model: string, gateway: string, round: number): Promise<string | null>;
  /** Settles what counts: the round takes nothing any more. */
  settle(epoch: number, model: string, round: number): Promise<void>;
  /** What counts in a round, by gateway id and round trained in, one at a time. */
  updates(model: string, cohort: number): AsyncIterable<AcceptedUpdate>;
  /** A new version and the end of its round; its updates go, their receipts stay. */
  publish(epoch: number, round: number, version: ModelVersion, change?: VersionChange | null): Promise<void>;
  /** The end of a round without a version; updates that were taken go. */
  abandon(epoch: number, model: string, round: number, at: number): Promise<void>;
  /** The newest rollout of each model. */
  rollouts(): Promise<KeptRollout[]>;
  /** In place of the model's rollout before. */
  putRollout(epoch: number, rollout: KeptRollout): Promise<void>;
  close(): Promise<void>;
};

/** Gateways that may wait for an operator's word. */
export const maxRequests = 1_000;
/** Tokens that are kept at once. */
export const maxTokens = 1_000;
/** A token is forgotten so long after it has expired, ms. */
export const tokenMemoryMs = 30 * 86_400_000;
/** Members of one fleet. */
export const maxMembers = 100_000;
/** Versions whose weights are kept, for late gateways and the way back. */
export const keptVersions = 16;
/** Steps that gateways can make up for; who has missed more fetches the whole. */
export const keptChanges = 32;
/** Rounds whose receipts are kept: an update of one older than these is told that its round is closed. */
export const keptRounds = 1_000;

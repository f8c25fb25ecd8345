import { reasonOf, TidegateError } from "../base/errors.ts";
import { Database, type Row, type Statement } from "../drivers/sqlite.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import {
  type Acceptance,
  type AcceptedUpdate,
  type CoordinatorStore,
  type EnrolmentRequest,
  type EnrolmentToken,
  keptChanges,
  keptRounds,
  keptVersions,
  type Member,
  type ModelVersion,
  maxMembers,
  maxRequests,
  maxTokens,
  type RequestUse,
  type RoundState,
  type StoredRound,
  type TokenUse,
  tokenMemoryMs,
  type VersionChange,
} from "./coordinator-store.ts";
import type { KeptRollout } from "./rollouts.ts";

const migrations = [
  `CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE member (gateway TEXT PRIMARY KEY, key BLOB NOT NULL, since INTEGER NOT NULL, removed INTEGER) WITHOUT ROWID;
   CREATE TABLE token (hash TEXT PRIMARY KEY, gateway TEXT, expires INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE request (gateway TEXT PRIMARY KEY, key BLOB NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
   CREATE TABLE version (model TEXT, version INTEGER, parent TEXT, hash TEXT NOT NULL, tensors TEXT NOT NULL, metrics TEXT NOT NULL,
     at INTEGER NOT NULL, state BLOB NOT NULL, weights BLOB NOT NULL, PRIMARY KEY (model, version));
   CREATE TABLE round (model TEXT, round INTEGER, state TEXT NOT NULL, opened INTEGER NOT NULL, ended INTEGER, accepted INTEGER NOT NULL,
     bytes INTEGER NOT NULL, version INTEGER, metrics TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (model, round));
   CREATE TABLE taken (model TEXT, round INTEGER, gateway TEXT, hash TEXT NOT NULL, PRIMARY KEY (model, round, gateway)) WITHOUT ROWID;
   CREATE TABLE pending (model TEXT, cohort INTEGER, gateway TEXT, round INTEGER, hash TEXT NOT NULL, weight INTEGER NOT NULL,
     norm REAL NOT NULL, metrics TEXT NOT NULL, bytes INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (model, cohort, gateway, round));`,
  "CREATE TABLE rollout (model TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;",
  `ALTER TABLE version ADD COLUMN root TEXT NOT NULL DEFAULT '';
   ALTER TABLE version ADD COLUMN exact BLOB;
   CREATE TABLE change (model TEXT, version INTEGER, parent TEXT NOT NULL, hash TEXT NOT NULL, body BLOB NOT NULL,
     PRIMARY KEY (model, version));`,
];

const statements = {
  number: "SELECT value FROM number WHERE name = ?",
  putNumber: "INSERT OR REPLACE INTO number VALUES (?, ?)",
  members: "SELECT * FROM member ORDER BY gateway",
  member: "SELECT * FROM member WHERE gateway = ?",
  countMembers: "SELECT count(*) AS n FROM member",
  putMember: "INSERT OR REPLACE INTO member VALUES (?, ?, ?, NULL)",
  removeMember: "UPDATE member SET removed = ? WHERE gateway = ? AND removed IS NULL",
  tokens: "SELECT * FROM token",
  token: "SELECT * FROM token WHERE hash = ?",
  putToken: "INSERT INTO token VALUES (?, ?, ?, 0)",
  spendToken: "UPDATE token SET used = 1, gateway = ? WHERE hash = ?",
  dropTokens: "DELETE FROM token WHERE expires < ?",
  requests: "SELECT * FROM request ORDER BY at",
  request: "SELECT * FROM request WHERE gateway = ?",
  countRequests: "SELECT count(*) AS n FROM request",
  putRequest: "INSERT INTO request VALUES (?, ?, ?)",
  dropRequest: "DELETE FROM request WHERE gateway = ?",
  version: "SELECT * FROM version WHERE model = ? AND version = ?",
  newestVersion: "SELECT * FROM version WHERE model = ? ORDER BY version DESC LIMIT 1",
  putVersion: "INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  dropVersions: "DELETE FROM version WHERE model = ? AND version <= ?",
  changes: "SELECT * FROM change WHERE model = ? ORDER BY version DESC LIMIT ?",
  putChange: "INSERT INTO change VALUES (?, ?, ?, ?, ?)",
  dropChanges: "DELETE FROM change WHERE model = ? AND version <= ?",
  round: "SELECT * FROM round WHERE model = ? AND round = ?",
  newestRound: "SELECT * FROM round WHERE model = ? ORDER BY round DESC LIMIT 1",
  history: "SELECT * FROM round WHERE model = ? ORDER BY round DESC LIMIT ?",
  putRound: `INSERT INTO round VALUES (?, ?, 'open', ?, NULL, 0, 0, NULL, '{}', ?)
    ON CONFLICT DO UPDATE SET document = excluded.document`,
  countIn:
    "UPDATE round SET accepted = accepted + 1, bytes = bytes + ?, state = 'collecting' WHERE model = ? AND round = ?",
  putState: "UPDATE round SET state = ? WHERE model = ? AND round = ?",
  endRound: "UPDATE round SET state = ?, ended = ?, version = ?, metrics = ? WHERE model = ? AND round = ?",
  taken: "SELECT hash FROM taken WHERE model = ? AND round = ? AND gateway = ?",
  putTaken: "INSERT INTO taken VALUES (?, ?, ?, ?)",
  dropTaken: "DELETE FROM taken WHERE model = ? AND round <= ?",
  putPending: "INSERT INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  nextPending: `SELECT * FROM pending WHERE model = ? AND cohort = ? AND (gateway > ? OR (gateway = ? AND round > ?))
    ORDER BY gateway, round LIMIT 1`,
  rollouts: "SELECT body FROM rollout ORDER BY model",
  putRollout: "INSERT OR REPLACE INTO rollout VALUES (?, ?)",
  dropPending: "DELETE FROM pending WHERE model = ? AND cohort = ?",
} as const;

/** A coordinator's data in one SQLite file, of one process alone. Calls block for a commit's fsync. */
export class SqliteCoordinatorStore implements CoordinatorStore {
  readonly #db: Database;
  readonly #sql: Record<keyof typeof statements, Statement>;

  /** @throws TidegateError DATA_DIR_IN_USE, STORAGE_UNREADABLE */
  constructor(file: string) {
    try {
      this.#db = new Database(file);
      this.#db.migrate(migrations);
      this.#sql = this.#db.prepareAll(statements);
    } catch (thrown) {
      const code = String((thrown as { code?: unknown }).code);
      if (code === "SQLITE_BUSY") throw new TidegateError("DATA_DIR_IN_USE", { dir: file });
      throw new TidegateError("STORAGE_UNREADABLE", { file, reason: reasonOf(thrown) }, { cause: thrown });
    }
  }

  /** The file never grows past this, bytes: for tests of a full disk. */
  limit(bytes: number): void {
    this.#db.limit(bytes);
  }

  epoch = async (): Promise<number> => this.#number("epoch");

  takeEpoch = async (above: number): Promise<number> =>
    this.#step(() => {
      const epoch = Math.max(this.#number("epoch"), above) + 1;
      this.#sql.putNumber.run("epoch", epoch);
      return epoch;
    });

  members = async (): Promise<Member[]> => this.#sql.members.all().map(memberOf);

  async enrol(gateway: string, key: Uint8Array, at: number): Promise<void> {
    this.#step(() => this.#enrol(gateway, key, at));
  }

  #enrol(gateway: string, key: Uint8Array, at: number): void {
    if (!this.#sql.member.get(gateway) && Number(this.#sql.countMembers.get()?.n) >= maxMembers)
      throw new TidegateError("ENROLMENT_REFUSED", { gateway, reason: `it has ${maxMembers} members already` });
    this.#sql.putMember.run(gateway, key, at);
    this.#sql.dropRequest.run(gateway);
  }

  remove = async (gateway: string, at: number): Promise<boolean> =>
    this.#step(() => {
      const { changes } = this.#sql.dropRequest.run(gateway);
      return this.#sql.removeMember.run(at, gateway).changes > 0 || changes > 0;
    });

  addToken = async ({ hash, gateway, expiresAt }: EnrolmentToken): Promise<boolean> =>
    this.#step(() => {
      if (this.#sql.tokens.all().length >= maxTokens) return false;
      this.#sql.putToken.run(hash, gateway, expiresAt);
      return true;
    });

  tokens = async (): Promise<EnrolmentToken[]> =>
    this.#sql.tokens.all().map(({ hash, gateway, expires }) => ({
      hash: String(hash),
      gateway: gateway === null ? null : String(gateway),
      expiresAt: Number(expires),
    }));

  useToken = async (hash: string, gateway: string, key: Uint8Array, at: number): Promise<TokenUse> =>
    this.#step(() => {
      const token = this.#sql.token.get(hash);
      if (!token) return "unknown";
      const known = this.#sql.member.get(gateway);
      const isSame = known && Buffer.compare(known.key as Uint8Array, key) === 0;
      // Asked again, because the answer was lost: it is the same enrolment.
      if (token.used === 1) return isSame && token.gateway === gateway ? "enrolled" : "used";
      if (Number(token.expires) < at) return "expired";
      if (token.gateway !== null && token.gateway !== gateway) return "other-gateway";
      if (known && !isSame && token.gateway === null) return "other-key";
      this.#enrol(gateway, key, at);
      this.#sql.dropTokens.run(at - tokenMemoryMs);
      this.#sql.spendToken.run(gateway, hash);
      return "enrolled";
    });

  requests = async (): Promise<EnrolmentRequest[]> =>
    this.#sql.requests.all().map(({ gateway, key, at }) => ({
      gateway: String(gateway),
      key: bytesOf(key),
      at: Number(at),
    }));

  addRequest = async ({ gateway, key, at }: EnrolmentRequest): Promise<RequestUse> =>
    this.#step(() => {
      const known = this.#sql.request.get(gateway);
      if (known) return Buffer.compare(bytesOf(known.key), key) === 0 ? "kept" : "other-key";
      if (Number(this.#sql.countRequests.get()?.n) >= maxRequests) return "full";
      this.#sql.putRequest.run(gateway, key, at);
      return "kept";
    });

  newestDocument = async (model: string): Promise<number> => this.#number(`document/${model}`);

  remaining = async (model: string): Promise<number> => this.#number(`remaining/${model}`);

  async setRemaining(epoch: number, model: string, rounds: number): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      this.#sql.putNumber.run(`remaining/${model}`, rounds);
    });
  }

  nextDocument = async (epoch: number, model: string, above: number): Promise<number> =>
    this.#step(() => {
      this.#fence(epoch);
      const name = `document/${model}`;
      const version = Math.max(this.#number(name), above) + 1;
      this.#sql.putNumber.run(name, version);
      return version;
    });

  async version(model: string, version?: number): Promise<ModelVersion | null> {
    const row = version === undefined ? this.#sql.newestVersion.get(model) : this.#sql.version.get(model, version);
    return row ? versionOf(row) : null;
  }

  async beginModel(epoch: number, version: ModelVersion): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      this.#putVersion(version);
    });
  }

  changes = async (model: string): Promise<VersionChange[]> =>
    this.#sql.changes.all(model, keptChanges).map(({ version, parent, hash, body }) => ({
      version: Number(version),
      from: String(parent),
      to: String(hash),
      blob: bytesOf(body),
    }));

  #putVersion({ model, version, parent, hash, tensors, metrics, at, ...vectors }: ModelVersion): void {
    const texts = [JSON.stringify(tensors), JSON.stringify(metrics)] as const;
    const { state, weights, root, exact } = vectors;
    this.#sql.putVersion.run(model, version, parent, hash, ...texts, at, state, weights, root, exact);
    this.#sql.dropVersions.run(model, version - keptVersions);
  }

  async round(model: string): Promise<StoredRound | null> {
    const row = this.#sql.newestRound.get(model);
    return row ? roundOf(row) : null;
  }

  history = async (model: string, limit: number): Promise<StoredRound[]> =>
    this.#sql.history.all(model, limit).map(roundOf);

  async openRound(epoch: number, document: RoundDocument, at: number, remaining?: number): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      if (remaining !== undefined) this.#sql.putNumber.run(`remaining/${document.subject}`, remaining);
      this.#sql.putRound.run(document.subject, document.round, at, JSON.stringify(document));
      this.#sql.dropTaken.run(document.subject, document.round - keptRounds);
    });
  }

  accept = async (epoch: number, update: AcceptedUpdate): Promise<Acceptance> =>
    this.#step(() => {
      this.#fence(epoch);
      const { model, cohort, gateway, round } = update;
      const taken = this.#sql.taken.get(model, round, gateway);
      if (taken) return taken.hash === update.update ? "duplicate" : "other-update";
      const state = this.#sql.round.get(model, cohort)?.state as RoundState | undefined;
      if (state !== "open" && state !== "collecting") return "closed";
      const { weight, norm, metrics, bytes, body } = update;
      this.#sql.putTaken.run(model, round, gateway, update.update);
      const about = [model, cohort, gateway, round, update.update] as const;
      this.#sql.putPending.run(...about, weight, norm, JSON.stringify(metrics), bytes, body);
      this.#sql.countIn.run(bytes, model, cohort);
      return "accepted";
    });

  async accepted(model: string, gateway: string, round: number): Promise<string | null> {
    const hash = this.#sql.taken.get(model, round, gateway)?.hash;
    return typeof hash === "string" ? hash : null;
  }

  async settle(epoch: number, model: string, round: number): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      this.#sql.putState.run("aggregating", model, round);
    });
  }

  async *updates(model: string, cohort: number): AsyncGenerator<AcceptedUpdate> {
    let [gateway, round] = ["", -1];
    for (;;) {
      // One row at a time: however many gateways there are, one update is in memory.
      const row = this.#sql.nextPending.get(model, cohort, gateway, gateway, round);
      if (!row) return;
      [gateway, round] = [String(row.gateway), Number(row.round)];
      yield updateOf(row);
    }
  }

  async publish(epoch: number, round: number, version: ModelVersion, change?: VersionChange | null): Promise<void> {
    const { model, at, metrics } = version;
    this.#step(() => {
      this.#fence(epoch);
      this.#putVersion(version);
      if (change) this.#sql.putChange.run(model, change.version, change.from, change.to, change.blob);
      this.#sql.dropChanges.run(model, version.version - keptChanges);
      this.#sql.endRound.run("published", at, version.version, JSON.stringify(metrics), model, round);
      this.#sql.dropPending.run(model, round);
    });
    this.#db.shrink(4_096);
  }

  async abandon(epoch: number, model: string, round: number, at: number): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      this.#sql.endRound.run("stopped", at, null, "{}", model, round);
      this.#sql.dropPending.run(model, round);
    });
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  #number(name: string): number {
    return Number(this.#sql.number.get(name)?.value ?? 0);
  }

  rollouts = async (): Promise<KeptRollout[]> =>
    this.#sql.rollouts.all().map(({ body }) => JSON.parse(String(body)) as KeptRollout);

  async putRollout(epoch: number, kept: KeptRollout): Promise<void> {
    this.#step(() => {
      this.#fence(epoch);
      this.#sql.putRollout.run(kept.rollout.model, JSON.stringify(kept));
    });
  }

  #fence(epoch: number): void {
    const newer = this.#number("epoch");
    if (newer !== epoch) throw new TidegateError("COORDINATOR_FENCED", { epoch, newer });
  }

  #step<T>(work: () => T): T {
    try {
      return this.#db.transaction(work);
    } catch (thrown) {
      if (thrown instanceof TidegateError) throw thrown;
      throw new TidegateError("STORAGE_FAILED", { reason: reasonOf(thrown) }, { cause: thrown });
    }
  }
}

const bytesOf = (value: unknown): Uint8Array => new Uint8Array(value as Uint8Array);
const numbersOf = (value: unknown) => JSON.parse(String(value)) as Record<string, number>;
const orNull = (value: unknown): number | null => (value === null ? null : Number(value));

const memberOf = (row: Row): Member => ({
  gateway: String(row.gateway),
  key: bytesOf(row.key),
  since: Number(row.since),
  removedAt: orNull(row.removed),
});

const versionOf = (row: Row): ModelVersion => ({
  model: String(row.model),
  version: Number(row.version),
  parent: row.parent === null ? null : String(row.parent),
  hash: String(row.hash),
  tensors: JSON.parse(String(row.tensors)) as Record<string, number[]>,
  metrics: numbersOf(row.metrics),
  at: Number(row.at),
  state: bytesOf(row.state),
  root: String(row.root),
  weights: bytesOf(row.weights),
  exact: row.exact === null ? null : bytesOf(row.exact),
});

const roundOf = (row: Row): StoredRound => ({
  model: String(row.model),
  round: Number(row.round),
  state: row.state as RoundState,
  document: JSON.parse(String(row.document)) as RoundDocument,
  openedAt: Number(row.opened),
  endedAt: orNull(row.ended),
  accepted: Number(row.accepted),
  bytesUp: Number(row.bytes),
  version: orNull(row.version),
  metrics: numbersOf(row.metrics),
});

const updateOf = (row: Row): AcceptedUpdate => ({
  model: String(row.model),
  cohort: Number(row.cohort),
  gateway: String(row.gateway),
  round: Number(row.round),
  update: String(row.hash),
  weight: Number(row.weight),
  norm: Number(row.norm),
  metrics: numbersOf(row.metrics),
  bytes: Number(row.bytes),
  body: bytesOf(row.body),
});

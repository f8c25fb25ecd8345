import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ErasureRequest } from "../base/erasure-request.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Frame } from "../base/frame.ts";
import { EpochFile } from "../crypto/epoch-file.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import { StorageKeys } from "../crypto/storage-keys.ts";
import { AgeClock } from "./age-clock.ts";
import { type AuditHead, AuditRows } from "./audit-rows.ts";
import { BufferFile, type Heritage, logShare } from "./buffer-file.ts";
import type { BufferStats, Commit, Range, StreamSetup, StreamState } from "./commit.ts";
import { stateOf } from "./dictionary.ts";
import { lockDirectory } from "./directory-lock.ts";
import { giveBack, keepReserve, spendReserve, tryCheckpoint } from "./disk-space.ts";
import { Eraser } from "./eraser.ts";
import { checkErasure, type Erasure, type ErasureFacts, type ErasureNotice, type KeptErasure } from "./erasure.ts";
import { ErasureRecord, reachOf } from "./erasure-record.ts";
import type { Ledger } from "./ledger.ts";
import type { Limits, Removed } from "./retention.ts";
import { asideBytes, removeAside, setAside } from "./set-aside.ts";
import { StateFile } from "./state-file.ts";
import { statsOf } from "./stats.ts";
import { codeOf, failed, isDamage, isDatabaseDamage } from "./storage-fault.ts";

export type StoreOptions = {
  readonly dir: string;
  readonly storageRoot: Uint8Array;
  readonly streams: readonly StreamSetup[];
  readonly limits: Limits;
  readonly blockReadings: number;
  /** OFF loses data: it exists to show that the tests would see it. */
  readonly synchronous: "FULL" | "OFF";
};

/** What the store tells besides its answers. */
export type StoreEvent =
  | { readonly event: "set-aside"; readonly file: string; readonly isKept: boolean; readonly reason: string }
  | {
      readonly event: "corrupt";
      readonly stream: string | null;
      readonly what: "piece" | "outbox" | "dead";
      readonly readings: number;
      readonly reason: string;
    }
  | { readonly event: "removed"; readonly removed: readonly Removed[] };

/** The files are open. */
export type StoreReady = { readonly event: "ready" };

const epochName = "buffer/epoch";
/** The log stays as long as this after a checkpoint, where the budget has room for it. */
const keptLogBytes = 4 * 2 ** 20;
/** How often a commit that finds no room makes some. */
const maxRounds = 8;

/** The journal's files, opened; every call blocks. It lives in the journal thread. */
export class Store {
  readonly #options: StoreOptions;
  readonly #tell: (event: StoreEvent) => void;
  readonly #file: string;
  readonly #reserve: string;
  readonly #lock: { release(): void };
  readonly #state: StateFile;
  readonly #keys: StorageKeys;
  readonly #age: AgeClock;
  readonly #audit: AuditRows;
  readonly #erasures: ErasureRecord;
  #buffer: BufferFile;
  #eraser: { readonly file: BufferFile; readonly of: Eraser } | undefined;

  /** @throws TidegateError DATA_DIR_IN_USE, KEY_WRONG, STORAGE_UNREADABLE, STORAGE_FAILED */
  constructor(options: StoreOptions, tell: (event: StoreEvent) => void) {
    const { dir, storageRoot, synchronous } = options;
    this.#options = options;
    this.#tell = tell;
    this.#file = join(dir, "buffer.db");
    this.#reserve = join(dir, "reserve");
    let [lock, state]: [{ release(): void }?, StateFile?] = [];
    try {
      lock = this.#sparing(() => lockDirectory(dir));
      this.#lock = lock;
      state = this.#sparing(() => new StateFile(join(dir, "state.db"), synchronous));
      this.#state = state;
      this.#keys = new StorageKeys(storageRoot, state, new EpochFile(dir));
      this.#audit = new AuditRows(state, (name) => this.#stateKey(name));
      this.#erasures = new ErasureRecord(state, this);
      this.#buffer = this.#sparing(() => this.#open());
      this.#age = new AgeClock(this.#buffer.ledger.savedAge, Date.now(), performance.now());
      keepReserve(this.#reserve);
      // Before anything is read: what was being erased stays hidden, whatever came between.
      if (this.erasure()) this.#withEraser(() => {});
    } catch (thrown) {
      state?.close();
      lock?.release();
      throw failed(thrown);
    }
  }

  /** Does `work`, and once more with the reserve given up when the disk is full. */
  #sparing<T>(work: () => T): T {
    try {
      return work();
    } catch (thrown) {
      if (!/^SQLITE_(FULL|IOERR|CANTOPEN)/.test(codeOf(thrown)) || !spendReserve(this.#reserve)) throw thrown;
      return work();
    }
  }

  /** Opens buffer.db; one that will not open is set aside for a new one, so that the gateway goes on. */
  #open(): BufferFile {
    const epoch = this.#state.number(epochName);
    // The epoch is written before the first buffer.db: a file without it was sealed with keys that are gone.
    if (epoch === null && existsSync(this.#file)) return this.#replace("state.db is new: the keys to it are gone");
    if (epoch === null) this.#state.putNumber(epochName, 1);
    try {
      return this.#openFile(epoch ?? 1);
    } catch (thrown) {
      if (!isDamage(thrown)) throw thrown;
      return this.#replace(reasonOf(thrown));
    }
  }

  #openFile(epoch: number, heritage?: Heritage): BufferFile {
    const { streams, limits, blockReadings, synchronous } = this.#options;
    return new BufferFile(
      {
        ...{ file: this.#file, keys: this.#keys, epoch, streams, limits, blockReadings, synchronous },
        onCorrupt: (stream, what, readings, reason) => this.#tell({ event: "corrupt", stream, what, readings, reason }),
      },
      heritage,
    );
  }

  #replace(reason: string, heritage?: Heritage): BufferFile {
    const epoch = (this.#state.number(epochName) ?? 0) + 1;
    // First: should the power fail now, the old file is of an epoch that is over, and is set aside after all.
    this.#state.putNumber(epochName, epoch);
    const isKept = setAside(this.#file, this.#options.limits.maxBytes / 2);
    this.#tell({ event: "set-aside", file: this.#file, isKept, reason });
    return this.#openFile(epoch, heritage);
  }

  /** Goes on in a new file when the old one turns out to be damaged: numbers, sources and cursors are still known. */
  #renew(reason: string): void {
    const { heritage, db } = this.#buffer;
    db.close();
    this.#buffer = this.#replace(reason, heritage);
    // Ages of what comes now go on from there: after a restart they must not be from the future.
    this.#buffer.ledger.saveAge(this.#age.now(performance.now()), Date.now());
  }

  /** Runs `work` on the file, and once more on a new one when it is damaged. */
  #withFile<T>(work: (buffer: BufferFile) => T): T {
    try {
      return work(this.#buffer);
    } catch (thrown) {
      if (!isDatabaseDamage(thrown)) throw failed(thrown);
      try {
        this.#renew(reasonOf(thrown));
        return work(this.#buffer);
      } catch (again) {
        throw failed(again);
      }
    }
  }

  stateOf(name: string): StreamState {
    return stateOf(this.#buffer.known(name));
  }

  /**
   * Writes a commit in one transaction. When there is no room, the oldest readings make some.
   * @throws TidegateError STORAGE_FAILED: nothing of it is stored
   */
  commit(commit: Commit): void {
    this.#withFile((buffer) => {
      for (let round = 0; ; round++)
        try {
          return buffer.write(commit, this.#age.now(performance.now()));
        } catch (thrown) {
          if (codeOf(thrown) !== "SQLITE_FULL" || round === maxRounds || !this.#makeRoom(buffer)) throw thrown;
        }
    });
  }

  /** @returns whether it is worth trying again */
  #makeRoom({ db, retention }: BufferFile): boolean {
    const isAside = asideBytes(this.#file) > 0;
    removeAside(this.#file);
    // To delete takes room in the log, too.
    tryCheckpoint(db);
    const room = Math.max(2 ** 16, Math.min(2 ** 24, this.#options.limits.maxBytes * 0.02));
    const removed = db.transaction(() => retention.makeRoom(room));
    if (removed.length > 0) {
      this.#tell({ event: "removed", removed });
      // A full disk needs the pages back, a full budget does not: the next commit takes them.
      if (retention.isDiskShort) giveBack(db);
    }
    return isAside || removed.length > 0;
  }

  /** A bounded slice of readings, by sequence number. */
  read(name: string, range: Range): Frame[] {
    return this.#withFile((buffer) => buffer.pieces.read(buffer.known(name), range));
  }

  outboxAfter(...args: Parameters<Ledger["outboxAfter"]>) {
    return this.#withFile(({ ledger }) => ledger.outboxAfter(...args));
  }

  receipt(...args: Parameters<Ledger["receipt"]>): number {
    return this.#withFile(({ ledger }) => ledger.receipt(...args));
  }

  dead(...args: Parameters<Ledger["dead"]>) {
    return this.#withFile(({ ledger }) => ledger.dead(...args));
  }

  removeDead(...args: Parameters<Ledger["removeDead"]>): number {
    return this.#withFile(({ ledger }) => ledger.removeDead(...args));
  }

  snapshot(...args: Parameters<Ledger["snapshot"]>) {
    try {
      return this.#buffer.ledger.snapshot(...args);
    } catch {
      // Without it windows are rebuilt from readings.
      return null;
    }
  }

  /** A small value of the gateway's own; sealed, since names and topics may be among it. Null also when it does not open. */
  stateGet(name: string): Uint8Array | null {
    const sealed = this.#state.get(`value/${name}`);
    return sealed && open(sealed, this.#stateKey(name));
  }

  statePut(name: string, value: Uint8Array): void {
    this.#state.put(`value/${name}`, seal(value, this.#stateKey(name)));
  }

  auditAppend = (body: Uint8Array): AuditHead => this.#audit.append(body);

  auditRead = (limit: number, before?: number) => this.#audit.read(limit, before);

  auditHead = (): AuditHead => this.#audit.head;

  auditCheck = (from: AuditHead | null) => this.#audit.check(from);

  /** state.db outlives every epoch of buffer.db: its values have one of their own. */
  #stateKey(name: string): Uint8Array {
    this.#keys.begin(0, 0);
    return deriveKey(this.#keys.pieceKey(0, 0, "state", 0), `tidegate/storage/1/value/${name}`);
  }

  /**
   * Replaces the key-encryption key, online: all stream keys are wrapped anew in one transaction.
   * @returns how often it has been replaced so far
   * @throws TidegateError KEY_UNWRITABLE, STORAGE_FAILED: nothing has changed
   */
  rotateKeys(): { readonly rotations: number } {
    try {
      this.#keys.rotate();
    } catch (thrown) {
      throw failed(thrown);
    }
    return { rotations: this.#keys.rotations };
  }

  /**
   * Begins an erasure: when this returns it is durable, nothing of it is read any more, and of streams that go as a whole
   * nothing opens. `eraseStep` goes on with it.
   * @param isForwarded  the sink is to be told
   * @throws TidegateError USAGE (no such stream), BUG (another is under way), STORAGE_FAILED
   */
  eraseBegin(request: ErasureRequest, isForwarded = false): Erasure {
    if (this.#erasures.current) throw new TidegateError("BUG", { detail: "an erasure is under way already" });
    checkErasure(request);
    const { stream } = request;
    if (stream !== undefined && !this.#buffer.streams.get(stream))
      throw new TidegateError("USAGE", { detail: `the journal has no stream ${stream}` });
    const erasure = this.#erasures.begin(request, isForwarded ? reachOf(this.#buffer, request) : null);
    this.#withEraser(() => {});
    return erasure;
  }

  /** The erasure that is under way; null when there is none. */
  erasure(): Erasure | null {
    return this.#erasures.current;
  }

  /** The newest erasures, the newest first. */
  erasures = (limit: number): KeptErasure[] => this.#erasures.list(limit);

  eraseNotices = (n: number, limit: number): ErasureNotice[] => this.#erasures.notices(n, limit);

  eraseToldUpTo = (): number => this.#erasures.toldUpTo;

  eraseTold = (upTo: number): void => this.#erasures.told(upTo);

  eraseConfirm = (first: number, last: number, receipt: Uint8Array): void =>
    this.#erasures.confirm(first, last, receipt);

  /** One bounded step of the erasure that is under way. @returns what it took, once nothing is left to do */
  eraseStep(): ErasureFacts | null {
    removeAside(this.#file);
    return this.#withEraser((eraser) => {
      eraser.step();
      return eraser.isDone ? eraser.facts : null;
    });
  }

  /** The erasure is over: its receipt is kept, for good. */
  eraseEnd(receipt: Uint8Array): void {
    const erasure = this.erasure();
    if (!erasure) return;
    this.#erasures.end(erasure, receipt);
    this.#eraser = undefined;
  }

  #withEraser<T>(work: (eraser: Eraser) => T): T {
    const erasure = this.erasure();
    if (!erasure) throw new TidegateError("BUG", { detail: "no erasure is under way" });
    return this.#withFile((buffer) => {
      // A file that took the place of a damaged one has what was still in memory: it is erased there, too.
      if (this.#eraser?.file !== buffer) this.#eraser = { file: buffer, of: new Eraser(erasure, buffer) };
      return work(this.#eraser.of);
    });
  }

  /** Merges one block of the first stream where it is worth it. @returns readings merged; 0: nothing is left to do */
  mergeStep(): number {
    return this.#withFile(({ streams, pieces }) => {
      for (const stream of streams.all) {
        const readings = pieces.isRipe(stream) ? pieces.merge(stream) : 0;
        if (readings > 0) return readings;
      }
      return 0;
    });
  }

  /** One bounded pass of retention; true when another is due. */
  retain(): boolean {
    const age = this.#age.now(performance.now());
    return this.#withFile(({ db, ledger, retention }) => {
      if (retention.excess(asideBytes(this.#file)) > 0) {
        // Before readings go: what was set aside is of no more use than to be looked at, the log can be emptied.
        removeAside(this.#file);
        tryCheckpoint(db);
      }
      const removed = retention.pass(age, asideBytes(this.#file));
      if (removed.length === 0) {
        ledger.saveAge(age, Date.now());
        return false;
      }
      if (retention.isDiskShort) giveBack(db);
      this.#tell({ event: "removed", removed });
      return true;
    });
  }

  /** Moves the logs into the files and gives free pages back. @returns false when a reader stood in the way */
  checkpoint(): boolean {
    keepReserve(this.#reserve);
    this.#state.checkpoint();
    return this.#withFile(({ db }) => {
      db.shrink(4_096);
      return db.checkpoint(Math.min(keptLogBytes, this.#options.limits.maxBytes * logShare));
    });
  }

  stats(): BufferStats {
    return this.#withFile((buffer) => statsOf(buffer, asideBytes(this.#file), Date.now()));
  }

  /** Closes the files and gives the directory free. */
  close(): void {
    try {
      this.#buffer.db.close();
      this.#state.close();
    } finally {
      this.#lock.release();
    }
  }
}

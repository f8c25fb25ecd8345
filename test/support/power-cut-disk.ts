import type { Random } from "../../src/base/random.ts";
import type { TraceEvent } from "./power-cut-trace.ts";

/** A change of a file that no sync has followed yet. */
export type Change =
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "truncate"; readonly size: number };

/** Names and contents, as a directory is found after the cut. */
export type Files = ReadonlyMap<string, Buffer>;

/** What becomes of that which was not synced when the power went. */
export type Fate = {
  /** Whether the next change of the directory that was not synced is kept. */
  keepsEntry(): boolean;
  /** The changes of a file that are kept, whole or in part, out of all since its last sync. */
  kept(changes: readonly Change[]): readonly Change[];
};

type Entries = Map<string, Inode>;
type Inode = { synced: Buffer; changes: Change[] };

/** A disk writes a sector wholly or not at all, and nothing beside it. */
const sectorBytes = 512;

/**
 * A disk as POSIX promises it and no better: content of a file is durable once the file was synced, its name once the
 * directory was, and all else may be kept or not, in any order.
 */
export class Disk {
  readonly #ignoresSync: (name: string) => boolean;
  #names: Entries = new Map();
  #syncedNames: Entries = new Map();
  #entryChanges: ((names: Entries) => unknown)[] = [];
  #opened = new Map<number, { name: string; inode: Inode | null }>();

  readonly #folders: readonly string[];

  /**
   * @param ignoresSync  whose syncs are to have no effect, by name: to show that they are needed
   * @param folders  those that are there from the beginning
   */
  constructor(ignoresSync: (name: string) => boolean = () => false, folders: readonly string[] = []) {
    this.#ignoresSync = ignoresSync;
    this.#folders = folders;
  }

  apply(event: TraceEvent): void {
    if (event.kind === "begin") this.#opened.clear();
    else if (event.kind === "open") this.#open(event);
    else if (event.kind === "sync") this.#sync(this.#handle(event.handle));
    else if (event.kind === "failed-sync") this.#lose(this.#handle(event.handle));
    else if (event.kind === "unlink") this.#change((names) => names.delete(event.name));
    else if (event.kind === "rename")
      this.#change((names) => {
        const inode = names.get(event.from);
        names.delete(event.from);
        if (inode) names.set(event.to, inode);
      });
    else if (event.kind === "write" || event.kind === "truncate") this.#handle(event.handle).inode?.changes.push(event);
  }

  #handle(handle: number) {
    const opened = this.#opened.get(handle);
    if (!opened) throw new Error(`the trace knows no handle ${handle}`);
    return opened;
  }

  #open({ handle, name, isMade, isEmptied }: TraceEvent & { kind: "open" }): void {
    if (name === "" || this.#folders.includes(name)) {
      this.#opened.set(handle, { name, inode: null });
      return;
    }
    let inode = this.#names.get(name);
    if (!inode) {
      if (!isMade) throw new Error(`${name} was opened, and nothing in the trace made it`);
      const made: Inode = { synced: Buffer.alloc(0), changes: [] };
      this.#change((names) => names.set(name, made));
      inode = made;
    } else if (isEmptied) inode.changes.push({ kind: "truncate", size: 0 });
    this.#opened.set(handle, { name, inode });
  }

  #change(change: (names: Entries) => unknown): void {
    change(this.#names);
    this.#entryChanges.push(change);
  }

  #sync({ name, inode }: { name: string; inode: Inode | null }): void {
    if (this.#ignoresSync(name)) return;
    if (inode) {
      inode.synced = applied(inode.synced, inode.changes);
      inode.changes = [];
    } else if (name !== "") {
      const isWithin = (entry: string) => entry.startsWith(`${name}/`);
      for (const entry of [...this.#syncedNames.keys()].filter(isWithin)) this.#syncedNames.delete(entry);
      for (const [entry, file] of this.#names) if (isWithin(entry)) this.#syncedNames.set(entry, file);
    } else {
      this.#syncedNames = new Map(this.#names);
      this.#entryChanges = [];
    }
  }

  /**
   * As Linux does it: what could not be written counts as written, is still read, and no later sync writes it.
   * @see Rebello et al. 2020, "Can Applications Recover from fsync Failures?"
   */
  #lose({ inode }: { inode: Inode | null }): void {
    if (inode) inode.changes = [];
  }

  /** What is found when the power goes now. The disk itself goes on as if it had not. */
  cut(fate: Fate): Files {
    const names = new Map(this.#syncedNames);
    for (const change of this.#entryChanges) if (fate.keepsEntry()) change(names);
    return new Map([...names].map(([name, { synced, changes }]) => [name, applied(synced, fate.kept(changes))]));
  }
}

function applied(content: Buffer, changes: readonly Change[]): Buffer {
  if (changes.length === 0) return content;
  let size = content.length;
  let room = size;
  for (const change of changes)
    room = Math.max(room, change.kind === "write" ? change.offset + change.bytes.length : change.size);
  const bytes = Buffer.alloc(room);
  content.copy(bytes);
  for (const change of changes)
    if (change.kind === "write") {
      bytes.set(change.bytes, change.offset);
      size = Math.max(size, change.offset + change.bytes.length);
    } else {
      // What lies past the end is gone: should the file grow again, it grows by zeros.
      bytes.fill(0, Math.min(change.size, size));
      size = change.size;
    }
  return bytes.subarray(0, size);
}

/** The sectors of a write, each a write of its own. */
function sectors(change: Change): Change[] {
  if (change.kind === "truncate") return [change];
  const parts: Change[] = [];
  for (let at = 0; at < change.bytes.length; ) {
    const offset = change.offset + at;
    const end = Math.min(change.bytes.length, at + sectorBytes - (offset % sectorBytes));
    parts.push({ kind: "write", offset, bytes: change.bytes.subarray(at, end) });
    at = end;
  }
  return parts;
}

/** Fates, by what is kept of what was not synced. */
export const fates = {
  /** As after a kill: the system wrote all of it. */
  everything: () => ({ keepsEntry: () => true, kept: (changes) => changes }),
  nothing: () => ({ keepsEntry: () => false, kept: () => [] }),
  /** Any of the calls, in spite of their order. */
  someCalls: (random) => {
    const share = random();
    return { keepsEntry: () => random() < 0.5, kept: (changes) => changes.filter(() => random() < share) };
  },
  /** Any of the sectors: calls are torn. */
  someSectors: (random) => {
    const share = random();
    return {
      keepsEntry: () => random() < 0.5,
      kept: (changes) => changes.flatMap(sectors).filter(() => random() < share),
    };
  },
  /** Of each file what came first, up to somewhere within a call. */
  beginning: (random) => ({
    keepsEntry: () => random() < 0.5,
    kept: (changes) => {
      const parts = changes.flatMap(sectors);
      return parts.slice(0, Math.floor(random() * (parts.length + 1)));
    },
  }),
  /** All of some files, nothing of the others. */
  someFiles: (random) => ({
    keepsEntry: () => random() < 0.5,
    kept: (changes) => (random() < 0.5 ? changes : []),
  }),
} as const satisfies Record<string, (random: Random) => Fate>;

export type FateName = keyof typeof fates;
export const fateNames = Object.keys(fates) as FateName[];

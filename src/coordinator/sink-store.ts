import { type FileHandle, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf, syncDirectory } from "../crypto/key-file.ts";
import type { DomainRecord } from "./received.ts";

/** What one step of the sink makes durable: all of it or nothing. */
export type SinkStep = {
  /** Without spans: it is forgotten. */
  readonly domains?: readonly DomainRecord[];
  /** How much of each output file counts, bytes: what stands beyond was never confirmed. Below 0: it is finished. */
  readonly files?: Readonly<Record<string, number>>;
  /** Small values by name; null: it is forgotten. */
  readonly values?: Readonly<Record<string, string | null>>;
};

/** What a sink knows after its steps so far. */
export type SinkState = {
  readonly domains: Map<string, DomainRecord>;
  readonly files: Map<string, number>;
  readonly values: Map<string, string>;
};

/** Where a sink keeps what it has received: a file for one sink, later a database for many. */
export type SinkStore = {
  /** @throws TidegateError FILE_UNREADABLE */
  load(): Promise<SinkState>;
  /** Resolves when the step is durable. */
  commit(step: SinkStep): Promise<void>;
  close(): Promise<void>;
};

/** The log is written anew when it has grown by so much beyond what it has to say. */
const maxGarbageBytes = 16 * 2 ** 20;

function apply(state: SinkState, { domains = [], files = {}, values = {} }: SinkStep): void {
  for (const record of domains) {
    if (record.spans.length > 0) state.domains.set(record.domain, record);
    else state.domains.delete(record.domain);
  }
  for (const [name, bytes] of Object.entries(files)) {
    if (bytes < 0) state.files.delete(name);
    else state.files.set(name, bytes);
  }
  for (const [name, value] of Object.entries(values)) {
    if (value === null) state.values.delete(name);
    else state.values.set(name, value);
  }
}

const emptyState = (): SinkState => ({ domains: new Map(), files: new Map(), values: new Map() });

/** Keeps the steps as lines of JSON in one file that only grows, until it is written anew. */
export class FileSinkStore implements SinkStore {
  readonly #file: string;
  #handle: FileHandle | undefined;
  #isClosed = false;
  #bytes = 0;
  #compactAt = maxGarbageBytes;
  #state = emptyState();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  async load(): Promise<SinkState> {
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o750 });
    let text = "";
    try {
      text = await readFile(this.#file, "utf8");
    } catch (cause) {
      if (errnoOf(cause) !== "ENOENT") {
        throw new TidegateError("FILE_UNREADABLE", { file: this.#file, reason: reasonOf(cause) }, { cause });
      }
    }
    this.#state = emptyState();
    const lines = text.split("\n");
    for (const [i, line] of lines.entries()) {
      if (line === "") continue;
      try {
        apply(this.#state, JSON.parse(line) as SinkStep);
      } catch (cause) {
        // The last line may be torn: its step was never confirmed. In the middle it is damage, and a guess would lose data.
        if (i >= lines.length - 2) break;
        const reason = `line ${i + 1} is damaged`;
        throw new TidegateError("FILE_UNREADABLE", { file: this.#file, reason }, { cause });
      }
    }
    await this.#rewrite();
    return this.#state;
  }

  /** One after another: what is announced is written down beside what is received. */
  commit(step: SinkStep): Promise<void> {
    const turn = this.#turn.then(() => this.#commit(step));
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #commit(step: SinkStep): Promise<void> {
    if (this.#isClosed) throw new TidegateError("STOPPED", { what: "the sink's store" });
    // After a failed write nobody knows what the file holds: it is replaced before anything else is said.
    if (!this.#handle) await this.#rewrite();
    const line = Buffer.from(`${JSON.stringify(step)}\n`);
    try {
      await this.#append(line);
    } catch (thrown) {
      const handle = this.#handle;
      this.#handle = undefined;
      await handle?.close().catch(() => {});
      throw thrown;
    }
    apply(this.#state, step);
    if (this.#bytes > this.#compactAt) {
      this.#compactAt = this.#bytes + maxGarbageBytes;
      // The step is durable already: a full disk only keeps the log long.
      await this.#rewrite().catch(() => {});
    }
  }

  async #append(line: Uint8Array): Promise<void> {
    const written = await this.#handle?.write(line, 0, line.length, this.#bytes);
    if (written?.bytesWritten !== line.length) throw new Error("the disk took only a part");
    await this.#handle?.datasync();
    this.#bytes += line.length;
  }

  /** Replaces the log by one that says the same in one step. */
  async #rewrite(): Promise<void> {
    const { domains, files, values } = this.#state;
    const step: SinkStep = {
      domains: [...domains.values()],
      files: Object.fromEntries(files),
      values: Object.fromEntries(values),
    };
    const line = Buffer.from(`${JSON.stringify(step)}\n`);
    const draft = `${this.#file}.new`;
    const handle = await open(draft, "w", 0o640);
    try {
      await handle.writeFile(line);
      await handle.sync();
      await rename(draft, this.#file);
      syncDirectory(dirname(this.#file));
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    await this.#handle?.close();
    this.#handle = handle;
    this.#bytes = line.length;
    this.#compactAt = line.length + maxGarbageBytes;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }
}

/** Keeps nothing beyond its own life, for demos and tests. */
export class MemorySinkStore implements SinkStore {
  readonly #state = emptyState();
  commits = 0;

  async load(): Promise<SinkState> {
    return this.#state;
  }

  async commit(step: SinkStep): Promise<void> {
    this.commits++;
    apply(this.#state, step);
  }

  async close(): Promise<void> {}
}

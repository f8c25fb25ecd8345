import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncDirectory } from "../crypto/key-file.ts";
import { draftSuffix, eraseLines } from "./ndjson-erasure.ts";
import type { SinkErasure } from "./sink-erasures.ts";
import type { Delivery, SinkOutput } from "./sink-output.ts";
import type { SinkState, SinkStore } from "./sink-store.ts";

export type NdjsonOptions = {
  readonly dir: string;
  /** A file that has grown beyond this is followed by the next, bytes. */
  readonly maxFileBytes?: number;
};

type OpenFile = { readonly name: string; readonly handle: FileHandle; bytes: number };

const defaultMaxFileBytes = 256 * 2 ** 20;
const maxOpen = 64;
const pattern = /^([\w-]+\.(?:result|aggregate|raw))\.(\d{6,})\.ndjson$/;
const seriesOf = ({ head }: Delivery): string => `${head.stream}.${head.kind}`;
const fileName = (series: string, number: number): string => `${series}.${String(number).padStart(6, "0")}.ndjson`;

/**
 * Writes one series of files for each stream and kind: `env.result.000001.ndjson`, `env.result.000002.ndjson`, …
 * How far a file counts is kept with what has been received, in one step: after a crash what stands beyond is cut off
 * and comes again, so every line is in the files once. Files that are full are never touched again.
 */
export class NdjsonOutput implements SinkOutput {
  readonly name = "ndjson";
  readonly #dir: string;
  readonly #maxFileBytes: number;
  #store: SinkStore | undefined;
  /** By series: the number in use, and how much of that file counts. */
  readonly #current = new Map<string, { number: number; bytes: number }>();
  /** By series, the one used last at the end. */
  readonly #files = new Map<string, OpenFile>();

  constructor({ dir, maxFileBytes = defaultMaxFileBytes }: NdjsonOptions) {
    this.#dir = dir;
    this.#maxFileBytes = maxFileBytes;
  }

  async open({ files }: SinkState, store: SinkStore): Promise<void> {
    this.#store = store;
    await mkdir(this.#dir, { recursive: true, mode: 0o750 });
    // Files that are not in the store are of another life: they are left alone and their numbers passed over.
    for (const name of await readdir(this.#dir)) {
      if (name.endsWith(draftSuffix)) await rm(join(this.#dir, name), { force: true });
      else this.#note(name, -1);
    }
    for (const [name, bytes] of files) this.#note(name, bytes);
    for (const [series, current] of this.#current) {
      if (current.bytes >= 0) current.bytes = await this.#recover(fileName(series, current.number), current.bytes);
    }
  }

  #note(name: string, bytes: number): void {
    const [, series, number] = pattern.exec(name) ?? [];
    if (series === undefined || number === undefined) return;
    const known = this.#current.get(series);
    if (known && known.number > Number(number)) return;
    this.#current.set(series, { number: Number(number), bytes });
  }

  /** How much of a file counts, after what was never confirmed has been cut off; -1 when it cannot be gone on with. */
  async #recover(name: string, bytes: number): Promise<number> {
    const path = join(this.#dir, name);
    const { size } = await stat(path).catch(() => ({ size: -1 }));
    if (size < bytes) return size < 0 && bytes === 0 ? 0 : -1;
    if (size === bytes) return bytes;
    const handle = await open(path, "r+");
    await handle.truncate(bytes);
    await handle.sync();
    await handle.close();
    return bytes;
  }

  async write(deliveries: readonly Delivery[]): Promise<{ files: Record<string, number> }> {
    const bySeries = Map.groupBy(deliveries, seriesOf);
    const written: [OpenFile, number][] = [];
    try {
      for (const [series, parts] of bySeries) {
        const file = await this.#fileOf(series);
        const bytes = Buffer.from(parts.flatMap(({ lines }) => lines.map((line) => `${line}\n`)).join(""));
        for (let at = 0; at < bytes.length; ) {
          const result = await file.handle.write(bytes, at, bytes.length - at, file.bytes + at);
          at += result.bytesWritten;
        }
        written.push([file, file.bytes + bytes.length]);
      }
      await Promise.all(written.map(([{ handle }]) => handle.datasync()));
    } catch (thrown) {
      await this.abandon();
      throw thrown;
    }
    for (const series of [...this.#files.keys()].slice(0, -maxOpen)) await this.#drop(series);
    const files: Record<string, number> = {};
    for (const [file, bytes] of written) files[file.name] = bytes;
    return { files };
  }

  confirm(files: Readonly<Record<string, number>>): void {
    for (const [series, current] of this.#current) {
      const bytes = files[fileName(series, current.number)];
      if (bytes === undefined) continue;
      current.bytes = bytes;
      const file = this.#files.get(series);
      if (file) file.bytes = bytes;
    }
  }

  /** Positions stay where they were; what was written beyond is cut off when a file is opened again. */
  async abandon(): Promise<void> {
    for (const series of [...this.#files.keys()]) await this.#drop(series);
  }

  /** Full files and those of another life are in its reach, too: in them as in the one in use whole files are replaced. */
  async erase(erasure: SinkErasure): Promise<number> {
    await this.abandon();
    let lines = 0;
    for (const name of (await readdir(this.#dir)).sort()) {
      const [, series, number] = pattern.exec(name) ?? [];
      const { stream } = erasure.notice.request;
      if (series === undefined || (stream !== undefined && !series.startsWith(`${stream}.`))) continue;
      const current = this.#current.get(series);
      const isInUse = current !== undefined && current.bytes >= 0 && current.number === Number(number);
      const path = join(this.#dir, name);
      const erased = await eraseLines(path, isInUse ? current.bytes : (await stat(path)).size, erasure);
      if (!erased) continue;
      lines += erased.lines;
      if (!isInUse) continue;
      // Until the store knows how much of it counts, it is not gone on with: after a crash another is begun.
      current.bytes = -1;
      await this.#store?.commit({ files: { [name]: erased.bytes } });
      current.bytes = erased.bytes;
    }
    return lines;
  }

  async #fileOf(series: string): Promise<OpenFile> {
    const current = this.#current.get(series);
    const isFull = current !== undefined && (current.bytes < 0 || current.bytes >= this.#maxFileBytes);
    if (!current || isFull) await this.#begin(series, (current?.number ?? 0) + 1, current?.number);
    const known = this.#files.get(series);
    if (known) {
      this.#files.delete(series);
      this.#files.set(series, known);
      return known;
    }
    const { number, bytes } = this.#current.get(series) ?? { number: 1, bytes: 0 };
    const name = fileName(series, number);
    const handle = await open(join(this.#dir, name), bytes === 0 ? "w" : "r+", 0o640);
    if (bytes === 0) syncDirectory(this.#dir);
    await handle.truncate(bytes);
    const file = { name, handle, bytes };
    this.#files.set(series, file);
    return file;
  }

  /** Announces a file before it is there: one that the store does not know is never written to. */
  async #begin(series: string, number: number, former: number | undefined): Promise<void> {
    const files = {
      [fileName(series, number)]: 0,
      ...(former === undefined ? {} : { [fileName(series, former)]: -1 }),
    };
    await this.#store?.commit({ files });
    await this.#drop(series);
    this.#current.set(series, { number, bytes: 0 });
  }

  async #drop(series: string): Promise<void> {
    const file = this.#files.get(series);
    this.#files.delete(series);
    await file?.handle.close().catch(() => {});
  }

  close(): Promise<void> {
    return this.abandon();
  }
}

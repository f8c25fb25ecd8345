import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../base/durable-file.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import { chunkBytes } from "./model-manifest.ts";

/** A blob as a signed manifest names it. */
export type WantedBlob = { readonly sha256: string; readonly size: number; readonly url?: string | undefined };

/** Where blobs come from: chunks that the broker retains. */
export type ChunkSource = {
  /** Resolves with a copy of chunk `n`, or null when none came within `timeoutMs`. */
  chunk(sha256: string, n: number, timeoutMs: number, signal: AbortSignal): Promise<Uint8Array | null>;
};

export type BlobFetchOptions = {
  /** Folder of what is under way and of what has arrived. */
  readonly dir: string;
  readonly source: ChunkSource;
  readonly log: Log;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Without a chunk or a byte for that long, the line counts as down and is tried again. Default 20 s. */
  readonly timeoutMs?: number;
  /** Longest pause between two chunks, so that a fleet does not ask in step, ms. Default 50. */
  readonly jitterMs?: number;
  /** How often nothing may come before it is given up; what has come stays for the next time. Default 30. */
  readonly maxSilences?: number;
};

const maxDamaged = 3;
/** Chunks between two fsyncs: after a crash no more than these are fetched again. */
const chunksPerSync = 32;

/**
 * Fetches a blob and resumes where an earlier try, or an earlier life, had come to: first from its URL, then chunk by
 * chunk from the broker.
 *
 * @returns the file, whose content has the hash that was asked for
 * @throws TidegateError BLOB_MISSING when it does not come, BLOB_DAMAGED when what comes is another; both may be tried again
 */
export async function fetchBlob(blob: WantedBlob, options: BlobFetchOptions): Promise<string> {
  const { dir, log } = options;
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const done = join(dir, blob.sha256);
  if (await hasContent(done, blob)) return done;
  const part = `${done}.part`;
  for (let damaged = 0; damaged < maxDamaged; damaged++) {
    const viaUrl = blob.url !== undefined && damaged === 0;
    if (viaUrl) {
      await download(blob, part, options).catch((thrown: unknown) => {
        log.info({ blob: blob.sha256, reason: reasonOf(thrown) }, "the URL does not give it: the broker is asked");
      });
    }
    await collect(blob, part, options);
    if (await hasContent(part, blob)) {
      await rename(part, done);
      await syncFolder(dir);
      return done;
    }
    await rm(part, { force: true });
    log.warn({ blob: blob.sha256 }, "a blob arrived damaged and is fetched anew");
  }
  throw new TidegateError("BLOB_DAMAGED", { what: `blob ${blob.sha256}`, reason: "its content is another each time" });
}

/** The broker's chunks, one at a time, from where the file ends. */
async function collect(blob: WantedBlob, part: string, options: BlobFetchOptions): Promise<void> {
  const { source, random, signal, timeoutMs = 20_000, jitterMs = 50, maxSilences = 30 } = options;
  const file = await open(part, "a+", 0o640);
  try {
    const have = (await file.stat()).size;
    let n = Math.floor(Math.min(have, blob.size) / chunkBytes);
    if (have === blob.size) return;
    await file.truncate(n * chunkBytes);
    for (let silences = 0; n * chunkBytes < blob.size; ) {
      if (signal.aborted) throw new TidegateError("STOPPED", { what: "fetching a model" });
      const expected = Math.min(chunkBytes, blob.size - n * chunkBytes);
      const chunk = await source.chunk(blob.sha256, n, timeoutMs, signal);
      if (chunk?.length !== expected) {
        if (++silences > maxSilences) {
          const reason = `chunk ${n} of ${Math.ceil(blob.size / chunkBytes)} does not come`;
          throw new TidegateError("BLOB_MISSING", { what: `blob ${blob.sha256}`, reason });
        }
        continue;
      }
      await file.write(chunk);
      if (++n % chunksPerSync === 0) await file.sync();
      await sleep(random() * jitterMs, signal);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Appends what the URL gives from where the file ends. */
async function download(blob: WantedBlob, part: string, options: BlobFetchOptions): Promise<void> {
  const url = safeUrl(blob.url ?? "");
  const { signal, timeoutMs = 20_000 } = options;
  const file = await open(part, "a+", 0o640);
  try {
    const have = (await file.stat()).size;
    if (have >= blob.size) return;
    const idle = new AbortController();
    let timer = setTimeout(() => idle.abort(), timeoutMs);
    try {
      const headers = have > 0 ? { Range: `bytes=${have}-` } : {};
      const answer = await fetch(url, { headers, redirect: "error", signal: AbortSignal.any([signal, idle.signal]) });
      if (!answer.ok || answer.body === null) throw new Error(`the server answered ${answer.status}`);
      const isResumed = answer.status === 206 && answer.headers.get("content-range")?.startsWith(`bytes ${have}-`);
      if (!isResumed) await file.truncate(0);
      let size = isResumed ? have : 0;
      for await (const piece of answer.body) {
        clearTimeout(timer);
        timer = setTimeout(() => idle.abort(), timeoutMs);
        size += piece.length;
        if (size > blob.size) throw new Error("the server sends more than the manifest names");
        await file.write(piece);
      }
    } finally {
      clearTimeout(timer);
      await file.sync();
    }
  } finally {
    await file.close();
  }
}

/** HTTPS alone: the content is verified anyway, but whoever listens in learns which model a site runs. */
function safeUrl(text: string): URL {
  const url = URL.parse(text);
  const isLoopback = url !== null && ["127.0.0.1", "localhost", "[::1]"].includes(url.hostname);
  if (url === null || (url.protocol !== "https:" && !isLoopback)) throw new Error(`${text} is no HTTPS URL`);
  return url;
}

async function hasContent(path: string, { sha256, size }: WantedBlob): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== size) return false;
  const digest = createHash("sha256");
  for await (const piece of createReadStream(path)) digest.update(piece as Buffer);
  return digest.digest("hex") === sha256;
}

/** Something that topics can be listened to on for a while. `CloudSide` fits. */
export type Listening = {
  listen(route: {
    readonly filter: string;
    readonly retained: "each";
    onMessage(message: { topic: string; payload: Uint8Array }): void;
  }): () => Promise<void>;
};

/**
 * Chunks of one model's blobs as the broker retains them: subscribed one at a time, since a broker would send all that a
 * filter matches at once.
 * @param topic  of chunk `n` of a blob
 */
export function retainedChunks(port: Listening, topic: (sha256: string, n: number) => string): ChunkSource {
  return {
    async chunk(sha256, n, timeoutMs, signal) {
      const late = new AbortController();
      let found: Uint8Array | null = null;
      const end = port.listen({
        filter: topic(sha256, n),
        retained: "each",
        onMessage: ({ payload }) => {
          found ??= new Uint8Array(payload);
          late.abort();
        },
      });
      await sleep(timeoutMs, AbortSignal.any([signal, late.signal]));
      // Whoever asks for the same chunk again has to subscribe anew: that alone makes the broker send it.
      await end();
      return found;
    },
  };
}

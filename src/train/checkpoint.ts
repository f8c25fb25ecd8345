import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { writeDurably } from "../base/durable-file.ts";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Circumstances } from "./circumstances.ts";
import type { EpochFigures, TrainerState } from "./trainer-state.ts";

export type Checkpoint = { readonly circumstances: Circumstances; readonly state: TrainerState };

/** Seals what is made of a gateway's readings. */
export type Sealer = {
  seal(plain: Uint8Array): Uint8Array;
  /** Null when it was sealed with another key, or changed. */
  open(sealed: Uint8Array): Uint8Array | null;
};

type Head = {
  readonly circumstances: Circumstances;
  readonly numbers: Omit<TrainerState, "weights" | "slots" | "moments" | "best" | "history">;
  readonly best: { readonly epoch: number; readonly loss: number } | null;
  readonly history: readonly EpochFigures[];
  /** Lengths of the vectors that follow: weights, moments, slots, and the best weights and moments. */
  readonly lengths: readonly number[];
  readonly slots: number;
};

const magics = { plain: "TGTRAIN1", sealed: "TGTRAIS1" } as const;
const magicBytes = 8;
const hashBytes = 32;

/**
 * Where a training leaves what it needs to go on. After a crash there is the last checkpoint or the one before, whole.
 *
 * File: 8 bytes that tell the format and whether it is sealed, then a body: length of the head (uint32, little-endian),
 * the head as JSON, the vectors as float32, and a SHA-256 over all that.
 */
export class CheckpointFile {
  readonly file: string;
  readonly #sealer: Sealer | undefined;

  constructor(file: string, sealer?: Sealer) {
    this.file = file;
    this.#sealer = sealer;
  }

  async write({ circumstances, state }: Checkpoint): Promise<void> {
    const body = encodeBody(circumstances, state);
    const sealed = this.#sealer?.seal(body) ?? body;
    const magic = Buffer.from(this.#sealer ? magics.sealed : magics.plain, "latin1");
    await mkdir(dirname(this.file), { recursive: true, mode: 0o750 });
    await writeDurably(this.file, Buffer.concat([magic, sealed]));
  }

  /** @returns undefined when there is none @throws TidegateError CHECKPOINT_UNREADABLE */
  async read(): Promise<Checkpoint | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.file);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#unreadable(reasonOf(cause), cause);
    }
    const magic = bytes.subarray(0, magicBytes).toString("latin1");
    if (magic !== magics.plain && magic !== magics.sealed) throw this.#unreadable("it is no checkpoint");
    const isSealed = magic === magics.sealed;
    if (isSealed && !this.#sealer) throw this.#unreadable("it is sealed, and there is no key");
    const rest = bytes.subarray(magicBytes);
    const body = isSealed ? this.#sealer?.open(rest) : rest;
    if (!body) throw this.#unreadable("it was sealed with another key");
    try {
      return decodeBody(body);
    } catch (cause) {
      throw this.#unreadable(reasonOf(cause), cause);
    }
  }

  async remove(): Promise<void> {
    await rm(this.file, { force: true });
  }

  #unreadable(reason: string, cause?: unknown): TidegateError {
    return new TidegateError("CHECKPOINT_UNREADABLE", { file: this.file, reason }, { cause });
  }
}

function encodeBody(circumstances: Circumstances, state: TrainerState): Uint8Array {
  const { weights, slots, moments, best, history, ...numbers } = state;
  const vectors = [weights, moments, ...slots, ...(best ? [best.weights, best.moments] : [])];
  const head: Head = {
    circumstances,
    numbers,
    best: best && { epoch: best.epoch, loss: best.loss },
    history,
    lengths: vectors.map(({ length }) => length),
    slots: slots.length,
  };
  const text = Buffer.from(JSON.stringify(head));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(text.length);
  const plain = Buffer.concat([size, text, ...vectors.map(bytesOf)]);
  return Buffer.concat([plain, createHash("sha256").update(plain).digest()]);
}

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);

function decodeBody(body: Uint8Array): Checkpoint {
  const plain = body.subarray(0, body.length - hashBytes);
  const hash = createHash("sha256").update(plain).digest();
  if (body.length < hashBytes + 4 || !hash.equals(body.subarray(plain.length))) throw new Error("it is damaged");
  const size = Buffer.from(plain.buffer, plain.byteOffset).readUInt32LE();
  const head = JSON.parse(new TextDecoder().decode(plain.subarray(4, 4 + size))) as Head;
  let at = 4 + size;
  const vectors = head.lengths.map((length) => {
    const bytes = new Uint8Array(plain.subarray(at, at + 4 * length));
    at += 4 * length;
    return new Float32Array(bytes.buffer);
  });
  const [weights = empty(), moments = empty()] = vectors;
  const slots = vectors.slice(2, 2 + head.slots);
  const [bestWeights = empty(), bestMoments = empty()] = vectors.slice(2 + head.slots);
  const best = head.best && { ...head.best, weights: bestWeights, moments: bestMoments };
  const state = { ...head.numbers, history: [...head.history], weights, moments, slots, best };
  return { circumstances: head.circumstances, state };
}

const empty = (): Float32Array => new Float32Array();

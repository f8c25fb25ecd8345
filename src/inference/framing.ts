import { deserialize, serialize } from "node:v8";
import { TidegateError } from "../base/errors.ts";

/**
 * The conversation between the daemon and its model process: frames on one socket, strictly in order each way.
 *
 * A frame is a head of six little-endian uint32 (bytes of the body, kind, id, model, count, width) and a body.
 * `run` and `done` carry raw float32, everything else a structured clone.
 */
export const frameKinds = {
  load: 1,
  unload: 2,
  run: 3,
  tensors: 4,
  ready: 10,
  done: 11,
  value: 12,
  failed: 13,
  progress: 14,
} as const;

export const headBytes = 24;

/** Larger frames are a fault of the other side, not data. */
export const maxBodyBytes = 2 ** 30;

export type FrameHead = { kind: number; id: number; model: number; count: number; width: number };

/** Writes a head into the first bytes of a frame. */
export function writeHead(frame: Uint8Array, bodyBytes: number, head: FrameHead): void {
  const view = new DataView(frame.buffer, frame.byteOffset, headBytes);
  [bodyBytes, head.kind, head.id, head.model, head.count, head.width].forEach((value, i) => {
    view.setUint32(i * 4, value, true);
  });
}

/** A frame whose body is a structured clone of `value`. */
export function encodeFrame(head: FrameHead, value: unknown): Uint8Array {
  const body = serialize(value);
  const frame = new Uint8Array(headBytes + body.length);
  writeHead(frame, body.length, head);
  frame.set(body, headBytes);
  return frame;
}

/** The value of a body. It owns its memory: `deserialize` alone would hand out views on the reader's buffer, and so would a Buffer's `slice`. */
export const decodeBody = (body: Uint8Array): unknown => deserialize(new Uint8Array(body));

/** Cuts a stream of bytes into frames. */
export class FrameReader {
  readonly #onFrame: (head: FrameHead, body: Uint8Array) => void;
  #held = new Uint8Array(1 << 16);
  #heldBytes = 0;

  /** @param onFrame  `body` is valid during the call only, and not aligned */
  constructor(onFrame: (head: FrameHead, body: Uint8Array) => void) {
    this.#onFrame = onFrame;
  }

  /** @throws TidegateError BUG when the other side does not speak this language */
  push(chunk: Uint8Array): void {
    if (this.#heldBytes === 0) {
      this.#hold(chunk, this.#cut(chunk));
      return;
    }
    this.#hold(chunk, 0);
    const whole = this.#held.subarray(0, this.#heldBytes);
    const used = this.#cut(whole);
    this.#held.copyWithin(0, used, this.#heldBytes);
    this.#heldBytes -= used;
  }

  #hold(chunk: Uint8Array, from: number): void {
    const size = this.#heldBytes + chunk.length - from;
    if (size > this.#held.length) {
      const larger = new Uint8Array(Math.max(size, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(from === 0 ? chunk : chunk.subarray(from), this.#heldBytes);
    this.#heldBytes = size;
  }

  /** Hands out the whole frames at the start of `bytes`; returns how many bytes they took. */
  #cut(bytes: Uint8Array): number {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    while (bytes.length - at >= headBytes) {
      const size = view.getUint32(at, true);
      if (size > maxBodyBytes)
        throw new TidegateError("BUG", { detail: `a frame of ${size} bytes to a model process` });
      if (bytes.length - at < headBytes + size) break;
      const head = {
        kind: view.getUint32(at + 4, true),
        id: view.getUint32(at + 8, true),
        model: view.getUint32(at + 12, true),
        count: view.getUint32(at + 16, true),
        width: view.getUint32(at + 20, true),
      };
      this.#onFrame(head, bytes.subarray(at + headBytes, at + headBytes + size));
      at += headBytes + size;
    }
    return at;
  }
}

import type { Provider, Tensors } from "../drivers/onnxruntime.ts";
import type { CardInput, CardOutput, ModelPort } from "./card-ports.ts";

/** Body of a `load` frame: the bytes of a small model travel, a large one is read from its file and checked. */
export type LoadRequest = {
  readonly name: string;
  readonly file: string;
  readonly bytes?: Uint8Array;
  /** SHA-256 of the model's bytes, hex. */
  readonly modelHash: string;
  readonly inputs: readonly CardInput[];
  readonly outputs: readonly CardOutput[];
  readonly threads: number;
  readonly providers: readonly Provider[];
  /** Most windows in one run. */
  readonly maxBatch: number;
};

/** Body of the answer to `load`. */
export type LoadAnswer = {
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  /** Numbers per window of each output that the card names, in the card's order. */
  readonly widths: readonly number[];
  readonly providers: readonly Provider[];
  /** Why a provider that was asked for is not used. */
  readonly refused: readonly string[];
  readonly warmUpMs: number;
};

/** Body of a `tensors` frame, and of its answer: any inputs, any outputs, off the fast path. */
export type TensorsBody = Tensors;

/** Body of the `ready` frame, the first that a model process sends. */
export type ReadyBody = { readonly pid: number; readonly niceness: number; readonly oomScore: number | null };

import { createHash } from "node:crypto";
import { FlatParameters } from "../autodiff/flat-parameters.ts";
import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";

/** The tensors that a fleet shares, in the card's order. */
export const averagedTensors = ({ trainable }: Card): string[] =>
  Object.entries(trainable).flatMap(([name, part]) => (part === "averaged" ? [name] : []));

/**
 * What a fleet shares of a model: the card's `averaged` tensors as one flat vector.
 * @throws TidegateError MODEL_UNTRAINABLE when the model lacks one; CARD_UNTRAINABLE when the card names none
 */
export class AveragedWeights {
  readonly #parameters: FlatParameters;

  constructor(model: ModelProto, card: Card) {
    const names = averagedTensors(card);
    if (names.length === 0)
      throw new TidegateError("CARD_UNTRAINABLE", {
        model: card.name,
        reason: "a fleet shares nothing of it",
        remedy: "List under `trainable` the tensors that are `averaged`.",
      });
    this.#parameters = FlatParameters.of(model, names);
  }

  get length(): number {
    return this.#parameters.length;
  }

  /** float32 [length] */
  pack(model: ModelProto): Float32Array {
    return this.#parameters.pack(model);
  }

  /** Sets them in a model, in place. */
  unpack(weights: Float32Array, model: ModelProto): void {
    this.#parameters.unpack(weights, model);
  }
}

/**
 * Sets stored tensors that a fleet has measured, in place.
 * @throws TidegateError MODEL_UNTRAINABLE, SHAPE_MISMATCH when the model has no such tensor, or one of another size
 */
export function setTensors(model: ModelProto, tensors: Readonly<Record<string, readonly number[]>>): void {
  for (const [name, values] of Object.entries(tensors)) {
    const parameters = FlatParameters.of(model, [name]);
    if (parameters.length !== values.length)
      throw new TidegateError("SHAPE_MISMATCH", { what: name, expected: parameters.length, actual: values.length });
    parameters.unpack(Float32Array.from(values), model);
  }
}

/** What a vector of weights is called: SHA-256 of its bytes, float32 little endian, hex. */
export const hashOfWeights = (weights: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength))
    .digest("hex");

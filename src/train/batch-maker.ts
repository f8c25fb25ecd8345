import { threefry, uniformAt } from "../base/counter-random.ts";
import { seededRandom, shuffle } from "../base/random.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { DataSet, Split } from "./data-set.ts";

type Batches = { readonly indices: Tensor<"int64">; readonly sampleWeights: Tensor<"float32"> };

/**
 * Cuts examples into batches of one size. A short batch is filled up with examples that count 0.
 * The order of an epoch follows from seed and epoch alone.
 */
export class BatchMaker {
  readonly stepsPerEpoch: number;
  readonly examplesPerEpoch: number;
  readonly #data: Pick<DataSet, "first" | "weights">;
  readonly #split: Pick<Split, "train" | "validation">;
  readonly #batch: number;
  readonly #seed: number;
  #order: { readonly epoch: number; readonly examples: Int32Array } | undefined;

  constructor(
    data: Pick<DataSet, "first" | "weights">,
    split: Pick<Split, "train" | "validation">,
    batch: number,
    seed: number,
  ) {
    this.#data = data;
    this.#split = split;
    this.#batch = batch;
    this.#seed = seed;
    this.examplesPerEpoch = split.train.length;
    this.stepsPerEpoch = Math.ceil(split.train.length / batch);
  }

  /** `count` batches of an epoch from batch `step` on: [count, batch]. */
  training(epoch: number, step: number, count: number): Batches {
    return this.#cut(this.#orderOf(epoch), step, count);
  }

  /** All batches of the validation, at most `most` at a time. */
  *validation(most: number): Generator<Batches> {
    const { validation } = this.#split;
    const all = Math.ceil(validation.length / this.#batch);
    for (let step = 0; step < all; step += most) yield this.#cut(validation, step, Math.min(most, all - step));
  }

  /** Noise of `count` steps from step `first` of the training on: float32 [count, length]. */
  noise(first: number, count: number, length: number): Tensor<"float32"> {
    const numbers = new Float32Array(count * length);
    for (let step = 0; step < count; step++)
      uniformAt(this.#seed, first + step, numbers.subarray(step * length, (step + 1) * length));
    return tensor("float32", [count, length], numbers);
  }

  #orderOf(epoch: number): Int32Array {
    if (this.#order?.epoch === epoch) return this.#order.examples;
    const examples = this.#split.train.slice();
    // One batch is the whole: its order would only change how sums are rounded.
    if (this.stepsPerEpoch > 1) {
      const words = new Uint32Array(2);
      threefry(this.#seed, epoch, 0, 1, words);
      shuffle(examples, seededRandom(words[0] ?? 0));
    }
    this.#order = { epoch, examples };
    return examples;
  }

  #cut(examples: Int32Array, step: number, count: number): Batches {
    const { first, weights } = this.#data;
    const batch = this.#batch;
    const indices = new BigInt64Array(count * batch);
    const counts = new Float32Array(count * batch);
    for (let place = 0; place < indices.length; place++) {
      const example = examples[step * batch + place];
      // What fills up must exist: the first example does.
      indices[place] = BigInt(first[example ?? examples[0] ?? 0] ?? 0);
      if (example !== undefined) counts[place] = weights[example] ?? 0;
    }
    return {
      indices: tensor("int64", [count, batch], indices),
      sampleWeights: tensor("float32", [count, batch], counts),
    };
  }
}

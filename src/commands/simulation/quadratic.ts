import { seededRandom } from "../../base/random.ts";
import { type Change, changeLearner, type Learner } from "./learner.ts";

/** How far gateways' own optima lie around the common one. */
const spread = 0.5;

/** What the whole fleet would agree on: float32 [length], numbers from -1 to 1. */
export function commonOptimum(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length }, () => 2 * random() - 1);
}

/**
 * A problem whose answer is known: each gateway's loss is the mean square of its distance to an optimum of its own, and
 * those lie around a common one. Gradient descent on it is exact and cheap, so that thousands of gateways learn on one machine.
 */
export function quadraticLearner(optimum: Float32Array, seed: number, random: () => number): Learner {
  return changeLearner(async ({ round, base }): Promise<Change> => {
    const { epochs = 1, learningRate = 0.5 } = round.training ?? {};
    const step = 1 - (1 - Math.min(1, learningRate)) ** epochs;
    const own = seededRandom(seed);
    const change = new Float32Array(base.length);
    let squares = 0;
    for (let i = 0; i < base.length; i++) {
      const distance = (optimum[i] as number) + spread * (2 * own() - 1) - (base[i] as number);
      squares += distance * distance;
      change[i] = step * distance;
    }
    return { change, loss: squares / base.length, examples: 1 };
  }, random);
}

/** Distance of weights to the common optimum, as a part of that of zero. */
export function distanceTo(optimum: Float32Array, weights: Float32Array): number {
  let [apart, whole] = [0, 0];
  for (let i = 0; i < optimum.length; i++) {
    apart += ((optimum[i] as number) - (weights[i] as number)) ** 2;
    whole += (optimum[i] as number) ** 2;
  }
  return Math.sqrt(apart / whole);
}

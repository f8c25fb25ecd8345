import type { Random } from "../base/random.ts";
import { decodeBody, encodeBody, restoreBody } from "./update-body.ts";
import type { UpdateSpace } from "./update-space.ts";

/**
 * The versions that gateways train on: each is the one before and a change that was written as updates are, so that a
 * gateway that has any of them gets to the newest, bit by bit, by a few kilobytes a version. What a change does not tell
 * is not lost: it is in the weights of the strategy, and a later change tells it.
 */
export class PublishedVersions {
  #weights: Float32Array;
  readonly #space: UpdateSpace | undefined;
  /** Bytes of the change from each version to the next. */
  readonly #sizes: number[] = [];

  /**
   * @param weights  version 0; copied
   * @param space  how changes are written; absent: every version is given whole
   */
  constructor(weights: Float32Array, space?: UpdateSpace) {
    this.#weights = weights.slice();
    this.#space = space;
  }

  get weights(): Float32Array {
    return this.#weights;
  }

  get newest(): number {
    return this.#sizes.length;
  }

  /**
   * Makes the next version.
   * @param weights  where it should be; not changed
   * @returns the change, as gateways get it
   */
  publish(weights: Float32Array, random: Random): Uint8Array | null {
    if (!this.#space) {
      this.#weights = weights.slice();
      this.#sizes.push(4 * weights.length);
      return null;
    }
    const body = encodeBody(
      weights.map((value, i) => value - (this.#weights[i] as number)),
      this.#space,
      random,
    );
    this.#weights = applyChange(this.#weights, body, this.#space);
    this.#sizes.push(body.length);
    return body;
  }

  /** What a gateway fetches that has this version: the changes since, or the whole when that is less. */
  bytesFrom(version: number): number {
    const changes = this.#sizes.slice(version).reduce((sum, size) => sum + size, 0);
    return Math.min(changes, 4 * this.#weights.length);
  }
}

/**
 * The next version from the one before, on any machine to the same bits.
 * @throws TidegateError UPDATE_INVALID
 */
export function applyChange(weights: Float32Array, body: Uint8Array, space: UpdateSpace): Float32Array {
  const change = restoreBody(decodeBody(body, space), space);
  return weights.map((value, i) => value + (change[i] as number));
}

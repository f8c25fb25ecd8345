import { TidegateError } from "../base/errors.ts";
import type { DecodedBody } from "./update-body.ts";

const limb = 2 ** 32;
/** Values are below 2^31 and weigh 2^16 at most: one addition moves a sum by less than 2^47. */
const maxStep = 2 ** 47;
/** Sums are below 2^63 while all updates together weigh no more. */
const maxWeight = 2 ** 32;

const headBytes = 24;
const magic = 0x54475331;

/**
 * The sum of weighted updates, in integers on the round's scale: exact, so that neither order nor how replicas share the
 * work changes a bit of it. Takes 8 to 12 bytes a parameter, however many gateways there are.
 *
 * A sum is low + 2^32 * high. `low` is a float64 that takes additions while its magnitude stays below 2^53 - 2^47, so all are exact; before
 * that could end, what is above 2^32 is carried over to `high`. In a normal form low is in [0, 2^32), so a sum has one.
 */
export class Accumulator {
  readonly #low: Float64Array;
  #high: Int32Array | null = null;
  /** Bound of the magnitude of any `low`. */
  #reach = 0;
  #updates = 0;
  #weight = 0;

  /** @param length  parameters of the model */
  constructor(length: number) {
    this.#low = new Float64Array(length);
  }

  /** How many updates it has, and what they weigh together. */
  get updates(): number {
    return this.#updates;
  }

  get weight(): number {
    return this.#weight;
  }

  /**
   * Adds an update.
   * @param weight  a whole number, 1 to 65,536
   * @param factor  0 to 1: the values are multiplied by it and rounded first, the weight is not (staleness, norm clipping)
   */
  add({ indices, values }: DecodedBody, weight = 1, factor = 1): void {
    this.#makeRoom(maxStep);
    this.#count(1, weight);
    const low = this.#low;
    for (let i = 0; i < values.length; i++) {
      const at = indices ? (indices[i] as number) : i;
      const value = values[i] as number;
      low[at] = (low[at] as number) + weight * (factor === 1 ? value : Math.round(value * factor));
    }
  }

  #count(updates: number, weight: number): void {
    if (this.#weight + weight > maxWeight)
      throw new TidegateError("UPDATE_INVALID", { reason: `all updates together weigh more than ${maxWeight}` });
    this.#updates += updates;
    this.#weight += weight;
  }

  #makeRoom(step: number): void {
    if (this.#reach + step > 2 ** 53 - maxStep) this.#normalise();
    this.#reach += step;
  }

  #normalise(): Int32Array {
    this.#high ??= new Int32Array(this.#low.length);
    const low = this.#low;
    const high = this.#high;
    for (let i = 0; i < low.length; i++) {
      const carried = Math.floor((low[i] as number) / limb);
      high[i] = (high[i] as number) + carried;
      low[i] = (low[i] as number) - carried * limb;
    }
    this.#reach = limb;
    return high;
  }

  /**
   * The mean change of the weights, in the model's own units, float32 [length].
   * @param scale  the round's
   * @throws TidegateError UPDATE_INVALID when it has no updates
   */
  mean(scale: number): Float32Array {
    if (this.#weight === 0)
      throw new TidegateError("UPDATE_INVALID", { reason: "there is no update to take a mean of" });
    const high = this.#normalise();
    const divisor = this.#weight * scale;
    return Float32Array.from(this.#low, (low, i) => ((high[i] as number) * limb + low) / divisor);
  }

  /**
   * All that it has, as bytes: for another process to merge, or to go on after a restart. Integers, little endian: magic,
   * length, updates (uint32), 0 (uint32), weight (float64), and a sum (int64) of each parameter.
   */
  partial(): Uint8Array {
    const high = this.#normalise();
    const view = new DataView(new ArrayBuffer(headBytes + 8 * this.#low.length));
    view.setUint32(0, magic, true);
    view.setUint32(4, this.#low.length, true);
    view.setUint32(8, this.#updates, true);
    view.setFloat64(16, this.#weight, true);
    for (let i = 0; i < high.length; i++) {
      view.setUint32(headBytes + 8 * i, this.#low[i] as number, true);
      view.setInt32(headBytes + 8 * i + 4, high[i] as number, true);
    }
    return new Uint8Array(view.buffer);
  }

  /**
   * Adds what another one gave with `partial`; which updates are in it is for the caller to know.
   * @throws TidegateError UPDATE_INVALID when it is none, or one of another length; nothing is changed then
   */
  merge(partial: Uint8Array): void {
    const length = this.#low.length;
    const view = new DataView(partial.buffer, partial.byteOffset, partial.length);
    const fault =
      partial.length !== headBytes + 8 * length ||
      view.getUint32(0, true) !== magic ||
      view.getUint32(4, true) !== length
        ? "a partial sum is not one of this model"
        : isWhole(view.getUint32(8, true), view.getFloat64(16, true))
          ? undefined
          : "a partial sum has impossible counts";
    if (fault) throw new TidegateError("UPDATE_INVALID", { reason: fault });
    this.#makeRoom(limb);
    this.#count(view.getUint32(8, true), view.getFloat64(16, true));
    const high = this.#normalise();
    for (let i = 0; i < length; i++) {
      this.#low[i] = (this.#low[i] as number) + view.getUint32(headBytes + 8 * i, true);
      high[i] = (high[i] as number) + view.getInt32(headBytes + 8 * i + 4, true);
    }
    this.#reach += limb;
  }
}

/** Whether so many updates can have this weight. */
const isWhole = (updates: number, weight: number): boolean =>
  Number.isInteger(weight) && weight >= updates && weight <= updates * 2 ** 16;

import type { Random } from "../../base/random.ts";
import type { BitReader, BitWriter } from "../bit-stream.ts";
import type { CodecHeader } from "../codec-header.ts";

/** How the values of an update are written. Integers are on the round's scale. */
export type Codec = {
  /** Bits of a value that a round may ask for. */
  readonly bits: readonly number[];
  /** Whether something may be lost, so that a sender keeps a residual. */
  readonly isLossy: boolean;
  /** @param values  v * scale, none larger than clip * scale; not rounded yet */
  write(values: Float64Array, header: CodecHeader, to: BitWriter, random: Random): void;
  /**
   * @param values  zeros, to be filled
   * @throws TidegateError UPDATE_INVALID
   */
  read(values: Int32Array, header: CodecHeader, from: BitReader): void;
};

import { malformed } from "../bit-stream.ts";
import { readScale, scaleUp, writeScale } from "./bucket-scale.ts";
import type { Codec } from "./codec.ts";

/**
 * Values that share a scale. So few that what 4 bits lose, at most 1/4 of a step each (7 steps to the largest) in the
 * mean of the square, stays below the square of the largest: a residual then dies away (128 / (4 * 49) < 1).
 */
const bucket = 128;

/**
 * Steps between 0 and the largest of a bucket, rounded up or down by chance so that the mean is right.
 * As QSGD, but with the largest of a few values for the norm of all: that norm makes steps too wide for a residual.
 * @see Alistarh et al. 2017, "QSGD: Communication-efficient SGD via gradient quantization and encoding"
 */
export const quantized: Codec = {
  bits: [8, 4],
  isLossy: true,

  write: (values, { bits }, to, random) => {
    const steps = 2 ** (bits - 1) - 1;
    for (let start = 0; start < values.length; start += bucket) {
      const part = values.subarray(start, start + bucket);
      let most = 0;
      for (const value of part) most = Math.max(most, Math.abs(value));
      const scale = scaleUp(Math.ceil(most));
      writeScale(scale, to);
      if (scale === 0) continue;
      for (const value of part) to.write(Math.floor((value / scale) * steps + random()) + steps, bits);
    }
  },

  read: (values, header, from) => {
    const steps = 2 ** (header.bits - 1) - 1;
    for (let start = 0; start < values.length; start += bucket) {
      const end = Math.min(values.length, start + bucket);
      const scale = readScale(header, from);
      if (scale === 0) continue;
      for (let i = start; i < end; i++) {
        const step = from.read(header.bits) - steps;
        if (step > steps) throw malformed("a value is none of the codec's steps");
        // At most 2^38 before it is divided: exact.
        values[i] = Math.round((step * scale) / steps);
      }
    }
  },
};

import { readScale, scaleNear, writeScale } from "./bucket-scale.ts";
import type { Codec } from "./codec.ts";

/** Values that share a scale: layers differ in theirs. */
const bucket = 512;

/**
 * One bit: the sign, times the mean magnitude of the bucket, |p|_1 / d. Only with a residual does it converge.
 * @see Karimireddy et al. 2019, "Error feedback fixes SignSGD and other gradient compression schemes"
 */
export const sign: Codec = {
  bits: [1],
  isLossy: true,

  write: (values, _header, to) => {
    for (let start = 0; start < values.length; start += bucket) {
      const part = values.subarray(start, start + bucket);
      let sum = 0;
      for (const value of part) sum += Math.abs(value);
      const scale = scaleNear(sum / part.length);
      writeScale(scale, to);
      if (scale > 0) for (const value of part) to.write(value < 0 ? 1 : 0, 1);
    }
  },

  read: (values, header, from) => {
    for (let start = 0; start < values.length; start += bucket) {
      const end = Math.min(values.length, start + bucket);
      const scale = readScale(header, from);
      if (scale > 0) for (let i = start; i < end; i++) values[i] = from.read(1) === 1 ? -scale : scale;
    }
  },
};

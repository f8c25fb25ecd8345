import { malformed } from "../bit-stream.ts";
import type { Codec } from "./codec.ts";

/** Integers on the round's scale as they are, 32 bits each: what float32 would take. */
export const plain: Codec = {
  bits: [32],
  isLossy: false,

  write: (values, _header, to) => {
    for (const value of values) to.write(Math.round(value) >>> 0, 32);
  },

  read: (values, { clip, scale }, from) => {
    const most = Math.ceil(clip * scale);
    for (let i = 0; i < values.length; i++) {
      const value = from.read(32) | 0;
      if (Math.abs(value) > most) throw malformed(`a value is beyond the round's ${clip}`);
      values[i] = value;
    }
  },
};

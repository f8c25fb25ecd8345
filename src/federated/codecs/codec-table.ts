import type { Codec } from "./codec.ts";
import { plain } from "./plain.ts";
import { quantized } from "./quantized.ts";
import { sign } from "./sign.ts";

/** Ways to write the values of an update, by the header's `codec`. */
export const codecs: ReadonlyMap<string, Codec> = new Map(Object.entries({ plain, quantized, sign }));

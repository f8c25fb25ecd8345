import { TidegateError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";

/** How a text becomes numbers. A card names it with its version: another version is another model. */
export type TextEncoding =
  | {
      /** Counts of words, of pairs of neighbours and of words in capitals, in as many buckets as their hashes are spread over. */
      readonly encoding: "hashed";
      readonly buckets: number;
      /** Default true. */
      readonly pairs?: boolean;
    }
  | {
      /** The place of each character in the alphabet; the last `length` of them. */
      readonly encoding: "characters";
      readonly alphabet: string;
      readonly length: number;
    };

/** Version of this code, for `preprocess.version` of a card. */
export const textVersion = 1;

/** Longer texts are cut: features of the beginning say what a text is. */
const maxCharacters = 65_536;

/** Words, runs of marks that shout, and the names of tags. */
const wordsAndMarks = /<\/?[a-z]+|[\p{L}\p{N}']{1,32}|[!$%?*#]+/giu;

/** A row of a model's input: float32 [buckets] (ln(1 + count)), or int64 [length]. */
export function encodeText(text: string, options: TextEncoding): Tensor {
  if (options.encoding === "hashed") return hashed(text.slice(0, maxCharacters), options);
  const ids = characterIds(text.slice(-options.length), options.alphabet);
  if (ids.length === options.length) return tensor("int64", [ids.length], BigInt64Array.from(ids, BigInt));
  throw new TidegateError("SHAPE_MISMATCH", {
    what: "text",
    expected: `at least ${options.length} characters`,
    actual: `${ids.length}`,
  });
}

/** Places in the alphabet. What is not in it is its last character's, which stands for everything else. */
export function characterIds(text: string, alphabet: string): Int32Array {
  const places = new Map([...alphabet].map((character, index) => [character, index]));
  return Int32Array.from([...text], (character) => places.get(character) ?? places.size - 1);
}

function hashed(text: string, { buckets, pairs = true }: { buckets: number; pairs?: boolean }): Tensor<"float32"> {
  const counts = new Float32Array(buckets);
  const count = (feature: string): void => {
    const bucket = fnv1a(feature) % buckets;
    counts[bucket] = (counts[bucket] ?? 0) + 1;
  };
  let last = "";
  for (const [written] of text.matchAll(wordsAndMarks)) {
    // Which number it is says less than how long it is.
    const word = written.toLowerCase().replace(/\d/g, "0");
    count(word);
    if (pairs) count(`${last} ${word}`);
    if (/^\p{Lu}{2,}$/u.test(written)) count("^capitals");
    last = word;
  }
  return tensor("float32", [buckets], counts.map(Math.log1p));
}

/** FNV-1a with 32 bits over the UTF-16 units. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

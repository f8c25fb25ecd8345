import { hash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import type { DataSet, Split } from "./data-set.ts";
import { bytesOf } from "./manifest.ts";

/** Shares of the examples; together at most 1. Where there is an official test set, it alone is the test. */
export type Shares = {
  readonly train: number;
  readonly validation: number;
  readonly calibration: number;
  readonly test: number;
};

export const defaultShares: Shares = { train: 0.6, validation: 0.1, calibration: 0.15, test: 0.15 };

const parts = ["train", "validation", "calibration", "test"] as const;
const none = -1;
const testPart = parts.indexOf("test");

/**
 * Splits by time: of each source the oldest examples train, then come validation and calibration, and the newest test.
 * Between two parts those examples are left out that share readings with the part before them.
 *
 * @throws TidegateError DATA_TOO_LITTLE when nothing is left to train on, or a part that was asked for stays empty
 */
export function splitByTime(data: DataSet, shares: Shares = defaultShares): Split {
  const bounds = boundsOf(shares);
  const counts = new Map<number, number>();
  for (const source of data.source) counts.set(source, (counts.get(source) ?? 0) + 1);
  const seen = new Map<number, number>();
  return assigned(data, shares, (example) => {
    const source = data.source[example] as number;
    const number = seen.get(source) ?? 0;
    seen.set(source, number + 1);
    return partOf(bounds, (number + 0.5) / (counts.get(source) ?? 1));
  });
}

/**
 * Splits by blocks of time: which part a block of a source belongs to is decided by its hash. For models that must not
 * depend on the season, where the newest part alone would hold but one. At the edges of blocks examples are left out as above.
 */
export function splitByBlocks(data: DataSet, blockMs: number, seed: number, shares: Shares = defaultShares): Split {
  const bounds = boundsOf(shares);
  return assigned(data, shares, (example) => {
    const block = Math.floor((data.ts[example] as number) / blockMs);
    return partOf(bounds, fraction(`${seed}/${data.source[example]}/${block}`));
  });
}

/** Splits by the content of the inputs, for data without time: what is there twice is in one part. */
export function splitByContent(data: DataSet, seed: number, shares: Shares = defaultShares): Split {
  const bounds = boundsOf(shares);
  const readers = Object.values(data.inputs).map((rows) => {
    const tensor = data.data[rows.data] as Tensor;
    const bytes = bytesOf(tensor);
    const rowBytes = sizeOf(tensor.dims.slice(1)) * (bytes.length / Math.max(1, sizeOf(tensor.dims)));
    return (example: number): Uint8Array => {
      const from = ((data.first[example] as number) + (rows.offset ?? 0)) * rowBytes;
      return bytes.subarray(from, from + (rows.span ?? 1) * rowBytes);
    };
  });
  return assigned(data, shares, (example) => {
    const contents = readers.map((read) => hash("sha256", read(example), "hex"));
    return partOf(bounds, fraction(`${seed}/${contents.join("/")}`));
  });
}

/** By time where the examples have one, else by content. */
export function splitOf(data: DataSet, seed: number, shares: Shares = defaultShares): Split {
  const hasTime = data.ts.some((ts) => !Number.isNaN(ts));
  return hasTime ? splitByTime(data, shares) : splitByContent(data, seed, shares);
}

/** Examples of which no two share readings: the first, and then each next one that is far enough on. */
export function apart(data: DataSet, examples: Int32Array): Int32Array {
  const last = new Map<number, number>();
  return examples.filter((example) => {
    const source = data.source[example] as number;
    const place = data.place[example] as number;
    if (place - (last.get(source) ?? Number.NEGATIVE_INFINITY) < data.reach) return false;
    last.set(source, place);
    return true;
  });
}

/** A number in [0, 1) that a text stands for. */
const fraction = (text: string): number => Number.parseInt(hash("sha256", text, "hex").slice(0, 13), 16) / 2 ** 52;

/** Upper end of each part's share. */
function boundsOf(shares: Shares): number[] {
  let sum = 0;
  const bounds = parts.map((part) => {
    sum += Math.max(0, shares[part]);
    return sum;
  });
  if (sum <= 1 + 1e-9) return bounds;
  throw new TidegateError("USAGE", { detail: `the shares of a split add up to ${sum}, more than 1` });
}

const partOf = (bounds: readonly number[], at: number): number => bounds.findIndex((bound) => at < bound - 1e-12);

/** @param wanted  the part of an example, asked for in order */
function assigned(data: DataSet, shares: Shares, wanted: (example: number) => number): Split {
  const members: number[][] = parts.map(() => []);
  const fixed = new Set(data.fixedTest);
  // Place of the last example of each part, of the source at hand.
  let places = parts.map(() => Number.NEGATIVE_INFINITY);
  for (let example = 0; example < data.first.length; example++) {
    if (example > 0 && data.source[example] !== data.source[example - 1])
      places = parts.map(() => Number.NEGATIVE_INFINITY);
    const own = wanted(example);
    // Beside an official test set there is no other: its share is trained on.
    const part = fixed.has(example) ? testPart : own === testPart && fixed.size > 0 ? parts.indexOf("train") : own;
    if (part === none) continue;
    const place = data.place[example] as number;
    if (places.some((last, other) => other !== part && place - last < data.reach)) continue;
    places[part] = place;
    members[part]?.push(example);
  }
  for (const [index, part] of parts.entries()) {
    if ((shares[part] > 0 || part === "train") && members[index]?.length === 0)
      throw new TidegateError("DATA_TOO_LITTLE", {
        purpose: `the ${part} part of a split`,
        actual: data.first.length,
        unit: "examples in all",
        needed: Math.ceil((2 * data.reach) / (shares[part] || 1)),
      });
  }
  const [train = [], validation = [], calibration = [], test = []] = members;
  const numbers = (list: number[]): Int32Array => Int32Array.from(list);
  return {
    train: numbers(train),
    validation: numbers(validation),
    calibration: numbers(calibration),
    test: numbers(test),
  };
}

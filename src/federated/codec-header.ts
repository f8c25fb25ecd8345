import * as z from "zod";

/**
 * How the numbers of an update are written, fixed by the signed round for every gateway alike. A coordinate x travels as
 * the integer q = x * scale (rounded, at most clip * scale in magnitude), so that sums are exact in any order and can be
 * taken modulo `modulus` one day without a change of the wire.
 */
export const codecHeaderSchema = z.strictObject({
  /** A row of the table of codecs. One that a gateway does not know it answers by declining the round. */
  codec: z.string().regex(/^[a-z0-9-]{1,32}$/),
  /**
   * Which coordinates travel: all (dense), those that base and round draw (seeded), those that the update names (listed),
   * or those that the coordinator has chosen (explicit).
   */
  support: z.enum(["dense", "seeded", "listed", "explicit"]),
  /** Coordinates that travel; absent when all do. */
  keep: z.int().positive().optional(),
  /** Of an explicit support: SHA-256 of its ascending uint32 indices, little endian, which lie as a blob of the model. */
  indices: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** Largest magnitude of one coordinate. */
  clip: z.number().positive(),
  /** Integers in 1: a coordinate is an integer divided by it. */
  scale: z.number().positive(),
  /** Bits of a coordinate on its way; 32 for dense float32. */
  bits: z.int().min(1).max(32),
  /** Of sums under secure aggregation; 0 while sums are plain. */
  modulus: z.int().nonnegative(),
  /** How much an update counts: all alike, or by its examples rounded down to a power of two of at most `maxWeight`. */
  weight: z.enum(["uniform", "power-of-two"]),
  maxWeight: z.int().positive().max(65_536).default(1),
  /** Standard deviation of the noise that gateways add, in units of a coordinate; 0: none. */
  noise: z.number().nonnegative(),
});

export type CodecHeader = z.output<typeof codecHeaderSchema>;

/** What an update of so many examples weighs by the round's rule. */
export const weightOf = (examples: number, { weight, maxWeight }: Pick<CodecHeader, "weight" | "maxWeight">): number =>
  weight === "uniform" ? 1 : Math.min(maxWeight, 2 ** Math.floor(Math.log2(Math.max(1, examples))));

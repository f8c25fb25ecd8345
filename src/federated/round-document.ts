import * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import { codecHeaderSchema } from "./codec-header.ts";

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().nonnegative();

/** Digits of a version's hash that a document names of it. */
export const shortHash = 8;

/**
 * A way to the base, as a blob of the model: chunks of 64 KiB, retained, on `models/{model}/blob/{sha256}/{n}`.
 *
 * - `planes`: a difference as in model files (`control/model-difference.ts`) to the base whose hash is `from`, or, where
 *   that is null, to nothing at all.
 * - `change`: what the coordinator has told of the step from `from` (`version-change.ts`). It names the change before it,
 *   so that a gateway with one of the `earlier` versions walks back to that.
 */
const baseSource = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("planes"), from: sha256.nullable(), sha256, bytes: z.int().positive() }),
  z.strictObject({
    kind: z.literal("change"),
    from: sha256,
    sha256,
    bytes: z.int().positive(),
    /** First digits of the hashes of versions before `from`, the newest first: each is one change further away. */
    earlier: z
      .array(z.string().regex(/^[0-9a-f]{8}$/))
      .max(64)
      .default([]),
  }),
]);

/**
 * Where all gateways begin. `hash` is the SHA-256 of the flat vector of the card's `averaged` tensors in the card's
 * order, float32 little endian: a gateway that has these weights, from wherever, has the base; tensors that are local,
 * personal or frozen do not count.
 */
const base = z.strictObject({
  version: z.int().positive(),
  hash: sha256,
  /** Numbers in the vector. */
  length: z.int().positive(),
  /** Names its line of versions: another one after a rollback. What gateways hold back belongs to one line. */
  root: sha256.optional(),
  sources: z.array(baseSource).max(8).default([]),
  /** Statistics that the fleet has measured in round 0, by stored tensor of the model: set before anything is trained. */
  tensors: z.record(z.string().max(256), z.array(z.number()).max(4_096)).default({}),
});

const training = z.strictObject({
  epochs: z.int().positive().max(1_000),
  batch: z.int().positive().max(65_536),
  learningRate: z.number().positive(),
  optimizer: z
    .strictObject({
      kind: z.enum(["sgd", "adagrad", "rmsprop", "adam", "adamw"]),
      momentum: z.number().min(0).max(1).optional(),
      beta1: z.number().min(0).max(1).optional(),
      beta2: z.number().min(0).max(1).optional(),
      weightDecay: z.number().nonnegative().optional(),
    })
    .default({ kind: "sgd" }),
  /** FedProx: how strongly weights are held to the base. */
  mu: z.number().nonnegative().default(0),
  /** Longest an update may be (Euclidean norm) before it is encoded: a longer one is shortened. Absent: any length. */
  clip: z.number().positive().optional(),
  seed: count.default(1),
});

/** Round 0: what is measured over the fleet. `statistics.ts` has the body. */
const statistics = z.strictObject({
  /** A value of the card's `fit`: its name in the graph, how many numbers it has a statistic for, and their bounds. */
  values: z
    .array(
      z.strictObject({
        of: z.string().min(1).max(256),
        size: z.int().positive().max(4_096),
        low: z.number(),
        high: z.number(),
      }),
    )
    .min(1)
    .max(64),
  /** Most that one gateway counts for. */
  maxCount: z
    .int()
    .positive()
    .max(2 ** 24),
});

/**
 * The open round of a model: retained and signed on `rounds/{model}`. Closing it is a newer document, so `version`
 * counts documents of the model, not rounds.
 */
export const roundSchema = z
  .strictObject({
    kind: z.literal("round"),
    /** The fleet. */
    audience: name,
    version: z.int().positive(),
    issuedAt: z.iso.datetime(),
    expires: z.iso.datetime().optional(),
    /** The model. */
    subject: name,
    /**
     * Grows with every start and every take-over of a coordinator. A gateway keeps the highest it has seen and refuses
     * documents below it: a coordinator that was restored from a backup cannot lead the fleet back. One for each second
     * since 1970 at most: a higher one would shut out every coordinator to come.
     */
    epoch: z.int().positive(),
    round: count,
    state: z.enum(["open", "closed"]),
    /** `enrol` and `unmask` are for secure aggregation and not used yet: a gateway declines them. */
    phase: z.enum(["enrol", "submit", "unmask"]),
    mode: z.enum(["weights", "gradients", "statistics"]),
    base,
    /** Of every mode but `statistics`. */
    training: training.optional(),
    statistics: statistics.optional(),
    codec: codecHeaderSchema,
    quorum: z.strictObject({
      /** Updates without which nothing is aggregated. */
      min: z.int().positive(),
      /** Updates with which the round ends before its deadline. */
      target: z.int().positive(),
      /** More are selected than are needed, since some drop out. */
      overSelection: z.number().min(1).max(10),
    }),
    /** Share of the members that is wanted. */
    fraction: z.number().positive().max(1),
    /** For information: nothing depends on a device's clock. */
    deadlineMs: z.int().positive(),
    /**
     * Asynchronous (FedBuff): updates of up to so many rounds back are taken, with less weight. Absent: synchronous, and
     * an update counts in its own round alone.
     */
    maxStaleness: count.optional(),
    /** The coordinator's X25519 public key, base64: updates are sealed for it. */
    box: z.base64().refine((text) => Buffer.from(text, "base64").length === 32, "must be 32 bytes in base64"),
  })
  .superRefine((round, context) => {
    const fault = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (round.epoch > Date.parse(round.issuedAt) / 1_000) fault("epoch", "is beyond its time");
    if (round.mode === "statistics" && !round.statistics) fault("statistics", "is missing");
    if (round.mode !== "statistics" && !round.training) fault("training", "is missing");
    if (round.quorum.target < round.quorum.min) fault("quorum", "target is below min");
  });

export type RoundDocument = z.output<typeof roundSchema>;

/**
 * Checks the fields of a document that has been opened (its signature, audience and version are the gate's business).
 * Strict: a field that this release does not know could change what a gateway is to do.
 * @throws TidegateError ROUND_INVALID
 */
export function parseRound(document: unknown): RoundDocument {
  const parsed = roundSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new TidegateError("ROUND_INVALID", { reason: z.prettifyError(parsed.error).replaceAll("\n", " ") });
}

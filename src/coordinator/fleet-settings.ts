import * as z from "zod";
import { parseDuration } from "../base/units.ts";
import type { CodecHeader } from "../federated/codec-header.ts";
import { defaultCodec } from "../federated/default-codec.ts";
import { rules } from "../federated/rules/rule-table.ts";
import { strategyDefaults } from "../federated/strategies/strategy.ts";
import { type StrategyName, strategies } from "../federated/strategies/strategy-table.ts";

const path = z.string().min(1);
const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -");

/** Text like "5s", kept in ms. */
const duration = (fallback: string) =>
  z
    .union([z.number().nonnegative(), z.string()])
    .default(fallback)
    .transform((value, context) => {
      const ms = typeof value === "number" ? value : parseDuration(value);
      if (ms !== undefined) return ms;
      context.addIssue({ code: "custom", message: `${JSON.stringify(value)} is no duration, like "5s"` });
      return z.NEVER;
    });

const names = <T extends string>(table: Readonly<Record<T, unknown>>) => z.enum(Object.keys(table) as [T, ...T[]]);

const codec = z.strictObject({
  codec: z.enum(["plain", "quantized", "sign"]).default("plain").describe("How values are written"),
  support: z.enum(["dense", "listed", "seeded"]).default("dense").describe("Which coordinates travel"),
  share: z.number().positive().max(1).default(1).describe("Coordinates that travel, out of all"),
  bits: z.int().optional().describe("Of a value: 8 or 4 when quantized"),
  clip: z.number().positive().default(8).describe("Largest magnitude of one coordinate"),
  maxWeight: z.int().positive().max(65_536).default(1).describe("Most that an update counts for; 1: all alike"),
});

const training = z.strictObject({
  epochs: z.int().positive().max(1_000).default(1),
  batch: z.int().positive().max(65_536).default(32),
  learningRate: z.number().positive().default(0.01),
  optimizer: z
    .strictObject({
      kind: z.enum(["sgd", "adagrad", "rmsprop", "adam", "adamw"]),
      momentum: z.number().min(0).max(1).optional(),
      beta1: z.number().min(0).max(1).optional(),
      beta2: z.number().min(0).max(1).optional(),
      weightDecay: z.number().nonnegative().optional(),
    })
    .default({ kind: "sgd" }),
  mu: z.number().nonnegative().default(0).describe("FedProx: how strongly weights are held to the base"),
  clip: z.number().positive().optional().describe("Longest an update may be"),
  seed: z.int().nonnegative().default(1),
});

const model = z.strictObject({
  bundle: path.describe("Folder of the model that the fleet begins with"),
  mode: z.enum(["weights", "gradients"]).default("weights"),
  strategy: names<StrategyName>(strategies).default("fedavgm"),
  strategyOptions: z
    .strictObject({
      rate: z.number().positive().default(strategyDefaults.rate),
      momentum: z.number().min(0).max(1).default(strategyDefaults.momentum),
      beta1: z.number().min(0).max(1).default(strategyDefaults.beta1),
      beta2: z.number().min(0).max(1).default(strategyDefaults.beta2),
      tau: z.number().positive().default(strategyDefaults.tau),
    })
    .prefault({}),
  rule: names(rules).default("mean").describe("How the updates of a round become one change"),
  ruleOptions: z
    .strictObject({
      norm: z.number().nonnegative().default(0).describe("clipped: longest an update counts for"),
      trim: z.number().min(0).max(0.5).default(0.1).describe("trimmed: share left out at either end"),
      attackers: z.int().nonnegative().default(1).describe("krum: updates that may be false"),
    })
    .prefault({}),
  codec: codec
    .optional()
    .describe(
      "How updates are written. Absent: signs of the largest 2 %; everything of a small model, or where the rule compares",
    ),
  downlink: codec
    .extend({ support: z.enum(["dense", "listed"]).default("dense").describe("Which coordinates travel") })
    .omit({ maxWeight: true })
    .optional()
    .describe(
      "How new versions are told to gateways that have older ones. Absent: signs of the largest 2 %; a small model bit by bit",
    ),
  training: training.prefault({}),
  quorum: z
    .strictObject({
      min: z.int().positive().default(2).describe("Updates without which nothing is aggregated"),
      target: z.int().positive().default(2).describe("Updates with which a round ends at once"),
      overSelection: z
        .number()
        .min(1)
        .max(10)
        .default(1.3)
        .describe("Gateways that are drawn, for each that is wanted"),
    })
    .prefault({}),
  fraction: z.number().positive().max(1).default(1).describe("Share of the members that is wanted in a round"),
  deadline: duration("10m").describe("From then on `quorum.min` is enough"),
  maxStaleness: z.int().nonnegative().max(32).default(4).describe("fedbuff: rounds that an update may be old"),
  rounds: z.int().default(0).describe("Rounds that begin by themselves when the model is new here; -1: without an end"),
  pause: duration("0s").describe("From the end of a round to the next one"),
  validation: z
    .strictObject({
      data: z.array(path).min(1),
      time: z.string().optional(),
      source: z.string().optional(),
      event: z.string().optional(),
    })
    .optional()
    .describe("Files with examples, as of `tidegate model eval --data`: every new version is measured on them"),
  normalization: z
    .record(
      z.string(),
      z.strictObject({ low: z.number(), high: z.number(), maxCount: z.int().positive().default(65_536) }),
    )
    .optional()
    .describe("Values of the card's `fit`, with their bounds: measured over the fleet in round 0"),
});

/** What a coordinator is told: where its fleet is, and what it is to learn. */
export const fleetSettingsSchema = z.strictObject({
  broker: z.url({ protocol: /^(mqtts?)$/ }).describe("Broker of the cloud"),
  username: z.string().optional(),
  passwordFile: path.optional(),
  tls: z
    .strictObject({
      ca: path.optional(),
      cert: path.optional(),
      key: path.optional(),
      servername: z.string().optional(),
    })
    .optional(),
  fleet: name,
  dataDir: path.default("/var/lib/tidegate-coordinator").describe("Keys, members, rounds and versions"),
  socket: path.optional().describe("Control socket; absent: control.sock in dataDir"),
  listen: z.string().optional().describe("Health and metrics, e.g. 127.0.0.1:8421; absent: not served"),
  lease: duration("15s").describe("Silence of the leading coordinator after which another may lead"),
  peers: z
    .array(z.base64().refine((text) => Buffer.from(text, "base64").length === 32, "is not 32 bytes in base64"))
    .max(16)
    .default([])
    .describe("Public keys of other coordinators of this fleet, each with data and keys of its own"),
  maxTransferBytes: z
    .int()
    .positive()
    .default(128 * 2 ** 20)
    .describe("Parts of updates that wait for the others"),
  models: z.record(name, model).default({}),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error"]).default("info"),
});

export type FleetSettings = z.output<typeof fleetSettingsSchema>;
export type ModelSettings = z.output<typeof model>;

/** Integers in 1: fine enough for float32 updates, with room to 2^30 for the largest coordinate. */
const scaleFor = (clip: number): number => 2 ** Math.floor(Math.log2(2 ** 30 / clip));

/** How the steps between versions are written, for a vector of so many numbers; null: as differences, bit by bit. */
export function downlinkHeader({ downlink }: Pick<ModelSettings, "downlink">, length: number): CodecHeader | null {
  const asked = downlink && { ...downlink, maxWeight: 1 };
  const header = codecHeader({ rule: "mean", ...(asked ? { codec: asked } : {}) }, length);
  return header.codec === "plain" && header.support === "dense" ? null : header;
}

const bitsOf = { plain: 32, quantized: 8, sign: 1 } as const;

/** The codec of a round, for a vector of so many numbers. */
export function codecHeader(
  { codec: asked, rule }: Pick<ModelSettings, "codec" | "rule">,
  length: number,
): CodecHeader {
  if (!asked) return defaultCodec(length, rule);
  const { codec, support, share, bits, clip, maxWeight } = asked;
  return {
    codec,
    support,
    ...(support === "dense" ? {} : { keep: Math.max(1, Math.ceil(share * length)) }),
    clip,
    scale: scaleFor(clip),
    bits: bits ?? bitsOf[codec],
    modulus: 0,
    weight: maxWeight === 1 ? "uniform" : "power-of-two",
    maxWeight,
    noise: 0,
  };
}

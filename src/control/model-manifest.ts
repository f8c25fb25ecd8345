import { createHash } from "node:crypto";
import { z } from "zod";
import { TidegateError } from "../base/errors.ts";

/** Kind of the signed document that offers a version of a model. */
export const manifestKind = "manifest";

/** Bytes of a chunk of a blob on the broker; the last one has what is left. */
export const chunkBytes = 65_536;

/** All files of a release together. */
const maxReleaseBytes = 512 * 2 ** 20;

const hash = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in hex");
const size = z.int().nonnegative().max(maxReleaseBytes);

const difference = z.strictObject({
  from: hash.describe("The file that the reader has to hold"),
  sha256: hash,
  size,
  kind: z.string().min(1).max(32).describe("How the new file is made of the old one"),
});

const releaseFile = z.strictObject({
  path: z.string().regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/, "must be the name of a file, without folders"),
  sha256: hash,
  size,
  url: z
    .string()
    .max(2_048)
    .regex(/^https?:\/\//, "must be an HTTPS URL")
    .optional(),
  differences: z.array(difference).max(8).default([]),
});

/** What a manifest says besides the head of every signed document. */
export const manifestSchema = z.object({
  kind: z.literal(manifestKind),
  audience: z.string(),
  version: z.int().positive(),
  subject: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  release: z.strictObject({
    version: z.int().positive().describe("The card's version"),
    hash: hash.describe("Identity of the bundle: over the hashes of all its files"),
    parent: hash.nullable().default(null),
    files: z.array(releaseFile).min(1).max(8),
  }),
  requires: z
    .strictObject({
      runtime: z
        .string()
        .regex(/^\d+\.\d+\.\d+$/)
        .optional()
        .describe("Oldest Tidegate that runs it"),
      arch: z.array(z.enum(["x64", "arm64"])).optional(),
      memoryMB: z.int().positive().optional(),
    })
    .default({}),
  metrics: z.record(z.string(), z.number()).default({}),
  rollout: z
    .strictObject({
      share: z
        .number()
        .min(0)
        .max(1)
        .default(1)
        .describe("Share of the fleet that takes it, by a hash of the gateway's id"),
      seed: z.string().max(64).default(""),
      isHalted: z.boolean().default(false).describe("Nobody begins with it any more"),
      isForced: z.boolean().default(false).describe("Taken although it is older than what runs: the fleet goes back"),
    })
    .default({ share: 1, seed: "", isHalted: false, isForced: false }),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type ReleaseFile = Manifest["release"]["files"][number];

/**
 * The manifest of a verified document.
 * @throws TidegateError MANIFEST_INVALID
 */
export function parseManifest(document: unknown): Manifest {
  const parsed = manifestSchema.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new TidegateError("MANIFEST_INVALID", { reason: `${issue?.path.join(".")}: ${issue?.message}` });
  }
  const { files } = parsed.data.release;
  if (new Set(files.map(({ path }) => path)).size !== files.length)
    throw new TidegateError("MANIFEST_INVALID", { reason: "a file is named twice" });
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (total > maxReleaseBytes) throw new TidegateError("MANIFEST_INVALID", { reason: `its files have ${total} bytes` });
  return parsed.data;
}

/** What a gateway is, as far as a manifest may ask for it. */
export type Hardware = { readonly runtime: string; readonly arch: string; readonly memoryMB: number };

/** Share of the memory that a file may take: some four copies of it are there while a difference is applied. */
const fileShare = 1 / 8;

/** Why a gateway does not take a release; null when nothing is in its way. */
export function unfitReason({ requires, release }: Pick<Manifest, "requires" | "release">, here: Hardware) {
  const { runtime, arch, memoryMB } = requires;
  const largestMB = Math.ceil(Math.max(...release.files.map((file) => file.size)) / 2 ** 20);
  if (largestMB > here.memoryMB * fileShare)
    return `a file of it has ${largestMB} MB: too much for ${here.memoryMB} MB of memory`;
  if (runtime && isOlder(here.runtime, runtime)) return `it needs Tidegate ${runtime}, this is ${here.runtime}`;
  if (arch && !arch.some((name) => name === here.arch)) return `it is for ${arch.join(" or ")}, this is ${here.arch}`;
  if (memoryMB && here.memoryMB < memoryMB) return `it needs ${memoryMB} MB of memory, there are ${here.memoryMB}`;
  return null;
}

function isOlder(version: string, needed: string): boolean {
  const [here, there] = [version, needed].map((text) => text.split("-")[0]?.split(".").map(Number) ?? []);
  for (let at = 0; at < 3; at++) {
    const difference = (here?.[at] ?? 0) - (there?.[at] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/**
 * Whether a gateway belongs to the share that takes a release. A gateway that was in stays in when the share grows; with
 * another seed other gateways come first.
 */
export function isInShare(gateway: string, { share, seed }: Pick<Manifest["rollout"], "share" | "seed">): boolean {
  const digest = createHash("sha256").update(`tidegate/rollout\0${seed}\0${gateway}`).digest();
  return digest.readUIntBE(0, 6) / 2 ** 48 < share;
}

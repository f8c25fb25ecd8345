import { readdirSync, readFileSync } from "node:fs";
import { arch, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms === undefined) context.addIssue({ code: "custom", message: "expected a duration" });
  return ms ?? z.NEVER;
});

const profileSchema = z.strictObject({
  title: z.string(),
  match: z.strictObject({ arch: z.enum(["x64", "arm64"]), model: z.string().optional() }),
  memoryMiB: z.int().positive(),
  threads: z.int().positive(),
  maxBatch: z.int().positive(),
  commitMaxDelay: duration,
  trainingWindow: z.int().positive(),
  maxCelsius: z.number(),
  providers: z.array(z.enum(["cpu", "cuda", "tensorrt"])),
  storage: z.string(),
});

/** What a kind of device can do; `device-profiles/<name>.yaml`. */
export type Profile = z.output<typeof profileSchema> & { readonly name: string };

/** Beside `src/` in a clone, beside `dist/` in a package. */
const folder = resolve(import.meta.dirname, "../../device-profiles");

export const profileNames = (): string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -5))
    .sort();

/** @throws TidegateError PROFILE_INVALID */
export function readProfile(name: string): Profile {
  if (!profileNames().includes(name))
    throw new TidegateError("PROFILE_INVALID", { name, reason: `there are ${profileNames().join(", ")}` });
  try {
    return { name, ...profileSchema.parse(parse(readFileSync(join(folder, `${name}.yaml`), "utf8"))) };
  } catch (thrown) {
    throw new TidegateError("PROFILE_INVALID", { name, reason: reasonOf(thrown) }, { cause: thrown });
  }
}

/** The device's own name, as its firmware gives it; "" where there is none. */
function boardModel(): string {
  try {
    return readFileSync("/proc/device-tree/model", "utf8").replaceAll("\0", "");
  } catch {
    return "";
  }
}

/** @throws TidegateError SYSTEM_UNSUPPORTED on anything but 64-bit x86 and ARM */
export function requireSupportedSystem(architecture: string = arch()): void {
  if (architecture !== "x64" && architecture !== "arm64")
    throw new TidegateError("SYSTEM_UNSUPPORTED", { arch: architecture });
}

/**
 * The profile that fits this device best.
 * @throws TidegateError SYSTEM_UNSUPPORTED
 */
export function detectProfile(model = boardModel(), architecture: string = arch(), memory = totalmem()): string {
  requireSupportedSystem(architecture);
  const fitting = profileNames()
    .map(readProfile)
    .filter(({ match }) => match.arch === architecture && match.model && new RegExp(match.model).test(model));
  // Boards of the same name come with more memory than another: the largest budget that fits.
  const roomy = fitting.filter(({ memoryMiB }) => memoryMiB * 2 ** 20 <= memory * 1.2);
  const best = (roomy.length > 0 ? roomy : fitting).sort((a, b) => b.memoryMiB - a.memoryMiB)[0];
  return best?.name ?? `generic-${architecture}`;
}

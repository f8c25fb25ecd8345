import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import * as z from "zod";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";

const path = z.string().min(1);

/** The sink's configuration: small, since it has one job. Every key can be given as a flag, too. */
const settingsSchema = z.strictObject({
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
  clientId: z.string().optional(),
  dataDir: path.default("/var/lib/tidegate-sink").describe("Keys, and what has been received"),
  fleet: z.string().default("+").describe("One fleet, or + for all"),
  trust: path.optional().describe("File of trusted gateway keys; absent: trusted.json in dataDir"),
  trustFirstUse: z.boolean().default(false).describe("Trust any gateway's key on its first use: loudly"),
  share: z.enum(["auto", "always", "never"]).default("auto").describe("Share the load with other sinks"),
  to: z.string().optional().describe("ndjson:DIR or mqtt:URL"),
  logLevel: z.enum(["trace", "debug", "info", "warn", "error"]).default("info"),
});

export type SinkSettings = z.output<typeof settingsSchema>;

/**
 * Settings from a file (paths count from it) and flags, which win.
 * @throws TidegateError CONFIG_INVALID with every fault, or USAGE where there are flags alone
 */
export function readSinkSettings(file: string | undefined, flags: Readonly<Record<string, unknown>>): SinkSettings {
  const written = file === undefined ? {} : readFileSettings(file);
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const asked: Readonly<Record<string, unknown>> = { ...written, ...given };
  const parsed = settingsSchema.safeParse(asked);
  if (parsed.success) return parsed.data;
  const known = Object.keys(settingsSchema.shape);
  const faults = parsed.error.issues.flatMap((issue) => {
    const [key, ...inner] = issue.path.map(String);
    if (key !== undefined && inner.length === 0 && asked[key] === undefined)
      return [{ path: key, message: `is missing: give \`--${key}\`, or \`${key}:\` in the file that --config names` }];
    if (issue.code !== "unrecognized_keys") return [{ path: issue.path.join("."), message: issue.message }];
    return issue.keys.map((key) => {
      const nearest = nearestName(key, known);
      return {
        path: key,
        message: nearest ? `unknown key; did you mean ${nearest}?` : `unknown key; known are ${known.join(", ")}`,
      };
    });
  });
  if (file === undefined)
    throw new TidegateError("USAGE", { detail: faults.map(({ path, message }) => `${path}: ${message}`).join("; ") });
  throw new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults });
}

function readFileSettings(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  const document = parseDocument(text, { prettyErrors: true });
  if (document.errors.length > 0) {
    const faults = document.errors.map(({ message }) => ({ message }));
    throw new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults });
  }
  const written = (document.toJS({ maxAliasCount: 10 }) ?? {}) as Record<string, unknown>;
  const from = dirname(resolve(file));
  for (const key of ["passwordFile", "dataDir", "trust"])
    if (typeof written[key] === "string") written[key] = resolve(from, written[key]);
  return written;
}

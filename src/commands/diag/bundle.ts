import { readFileSync } from "node:fs";
import { arch, cpus, freemem, loadavg, release, totalmem, uptime } from "node:os";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { readHttpToken } from "../../crypto/http-token.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { redact, redactText } from "../../ops/redaction.ts";
import { writtenValues } from "../config/effective-values.ts";
import { controlSocket } from "../run/control-socket.ts";
import { askStatus } from "../status/daemon-status.ts";
import type { Io } from "../verb.ts";
import { packageVersion } from "../version.ts";

/** What a bundle may hold at most, bytes: one can mail it. */
const maxBundleBytes = 4 * 2 ** 20;
const maxLogBytes = 2 ** 20;
const maxValues = 5_000;
/** Shorter secrets would also be found in innocent words. */
const minSecret = 6;

/** What the daemon adds that nobody else knows. */
export type DaemonDiagnosis = { readonly log: readonly string[]; readonly metrics: string | null };

/**
 * What helps to find a fault, as one JSON document without secrets: versions, system, configuration, status, metrics and
 * recent log. A part that cannot be had is told by its reason.
 */
export async function collectBundle(io: Io, loaded: LoadedConfig, checks: unknown): Promise<string> {
  const told = await askDaemon(io, loaded);
  const document = {
    format: "tidegate-diag/1",
    made: new Date().toISOString(),
    versions: { tidegate: packageVersion(), node: process.version, kernel: release(), arch: arch() },
    system: {
      cpus: cpus().length,
      loadAverage: loadavg(),
      memory: { totalBytes: totalmem(), freeBytes: freemem() },
      uptimeSeconds: Math.round(uptime()),
    },
    configuration: configurationOf(loaded),
    checks: redact(checks),
    status: redact(told.status),
    metrics: told.metrics,
    log: newest(told.log.map(redactText), maxLogBytes),
  };
  const text = `${JSON.stringify(withoutSecrets(document, secretsOf(loaded)), null, 1)}\n`;
  // What is left out first is what there is most of.
  if (Buffer.byteLength(text) <= maxBundleBytes) return text;
  const short = {
    ...document,
    log: newest(document.log, maxLogBytes / 8),
    metrics: "left out: too large",
    status: null,
  };
  return `${JSON.stringify(withoutSecrets(short, secretsOf(loaded)), null, 1)}\n`;
}

/** Value by value: a document of its own would be cut where it has many. */
function configurationOf(loaded: LoadedConfig): Record<string, unknown> {
  const entries = Object.entries(writtenValues(loaded).byPath).slice(0, maxValues);
  return Object.assign({}, ...entries.map(([path, value]) => redact({ [path]: value })));
}

async function askDaemon(io: Io, loaded: LoadedConfig) {
  try {
    const client = await ControlClient.connect(controlSocket(loaded));
    try {
      const status = await askStatus(client, io.signal);
      const diagnosis = (await client.call("diag.collect", {}, { signal: io.signal })) as DaemonDiagnosis;
      return { status, ...diagnosis };
    } finally {
      client.close();
    }
  } catch (thrown) {
    if (!(thrown instanceof TidegateError)) throw thrown;
    return { status: { absent: thrown.message }, metrics: null, log: [] };
  }
}

/** The last lines that fit. */
function newest(lines: readonly string[], maxBytes: number): string[] {
  let bytes = 0;
  const from = lines.findLastIndex((line) => {
    bytes += Buffer.byteLength(line);
    return bytes > maxBytes;
  });
  return lines.slice(from + 1);
}

/** Every secret that this user can read, in each form in which it might have come into a text. */
function secretsOf({ config }: LoadedConfig): string[] {
  const { dataDir } = config.gateway;
  const files = [config.sensors, config.cloud].flatMap((link) => [link?.passwordFile, link?.tls?.key]);
  const read = (file: string | undefined): string[] => {
    if (file === undefined) return [];
    try {
      return readFileSync(file, "utf8")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => !line.startsWith("-----"));
    } catch {
      return [];
    }
  };
  const keys = ["storage", "signing", "box"].flatMap((name) => read(join(dataDir, "keys", `${name}.key`)));
  const encoded = keys.flatMap((key) => [key, ...forms(Buffer.from(key, "base64"))]);
  let token: string | null = null;
  try {
    token = readHttpToken(dataDir);
  } catch {
    // A token that cannot be read did not come from here.
  }
  return [...files.flatMap(read), ...encoded, ...(token === null ? [] : [token])].filter(
    (secret) => secret.length >= minSecret,
  );
}

const forms = (key: Buffer): string[] => [key.toString("hex"), key.toString("base64url")];

/** The last line of defence: a secret that came in by a way that nobody thought of. */
function withoutSecrets<T>(value: T, secrets: readonly string[]): T {
  return JSON.parse(JSON.stringify(value), (_key, leaf: unknown) =>
    typeof leaf === "string" ? secrets.reduce((text, secret) => text.replaceAll(secret, "[hidden]"), leaf) : leaf,
  ) as T;
}

/** Why no checks are in the bundle. */
export const noChecks = (thrown: unknown) => ({ absent: reasonOf(thrown) });

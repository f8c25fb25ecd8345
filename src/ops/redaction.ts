import { TidegateError } from "../base/errors.ts";

/** Names of facts whose values never reach a log, at any depth. Names of files (`passwordFile`) are no secrets. */
const secretName = /(^|[_-])(pass(word|phrase|wd)?|secret|token|psk|credentials?|authorization|cookie|seed)s?$/i;
const secretCamel = /(Password|Passphrase|Secret|Token|Psk|Credentials?|Seed|(private|signing|storage|data|root)Key)$/;
const secretKey = /^(key|private[_-]?key|storage[_-]?root|root[_-]?key)$/i;

const hidden = "[hidden]";
const maxDepth = 6;
const maxItems = 100;
const maxText = 2_000;

const isSecret = (name: string): boolean => secretName.test(name) || secretCamel.test(name) || secretKey.test(name);

/** Hides what stands between `//` and `@` in addresses, and the blocks of PEM files. */
export function redactText(text: string): string {
  let clean = text;
  if (clean.includes("@"))
    clean = clean.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+(?:@[^\s/@"']+)*@/gi, `$1${hidden}@`);
  if (clean.includes("-----BEGIN")) {
    clean = clean.replace(/-----BEGIN [A-Z ]*KEY-----[\s\S]*?(-----END [A-Z ]*KEY-----|$)/g, hidden);
  }
  return clean;
}

/**
 * A copy of `value` that may be logged: secrets by name and addresses' passwords are hidden, bytes are only counted,
 * errors become their code, message and facts, and size and depth are bounded. Never throws.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === "string") {
    return redactText(value.length > maxText ? `${value.slice(0, maxText)}… (${value.length} characters)` : value);
  }
  if (typeof value === "bigint") return value.toString();
  // JSON has no such numbers and would say null.
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "[no date]" : value.toISOString();
  if (depth >= maxDepth) return "[…]";
  if (value instanceof Error) return redactError(value, depth);
  if (Array.isArray(value)) return bounded(value, depth);
  if (value instanceof Set) return bounded([...value], depth);
  if (value instanceof Map) return redactEntries(value.entries(), depth);
  return redactEntries(Object.entries(value), depth);
}

function bounded(items: readonly unknown[], depth: number): unknown[] {
  const kept = items.slice(0, maxItems).map((item) => redact(item, depth + 1));
  if (items.length > maxItems) kept.push(`… (${items.length} items)`);
  return kept;
}

function redactEntries(entries: Iterable<[unknown, unknown]>, depth: number): Record<string, unknown> {
  const clean: Record<string, unknown> = {};
  let count = 0;
  for (const [key, value] of entries) {
    if (++count > maxItems) {
      clean["…"] = "more facts left out";
      break;
    }
    const name = redactText(String(key));
    clean[name] = isSecret(name) && value !== null && value !== undefined ? hidden : redact(value, depth + 1);
  }
  return clean;
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  const isOurs = error instanceof TidegateError;
  const code: unknown = isOurs ? error.code : (error as { code?: unknown }).code;
  const facts = isOurs && Object.keys(error.facts).length > 0 ? redact(error.facts, depth + 1) : undefined;
  return {
    ...(code === undefined ? {} : { code }),
    message: redact(error.message),
    ...(facts === undefined ? {} : { facts }),
    // A fault of ours is found by its stack; of a peer's bad data the place in our code tells nothing.
    ...(isOurs && error.kind !== "bug" ? {} : { stack: redact(error.stack ?? "") }),
    ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  };
}

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Envelope } from "./envelope.ts";
import { errnoOf } from "./key-file.ts";
import { openDocument, signDocument } from "./signed-document.ts";
import { fingerprint, type Signer } from "./signing.ts";

/**
 * One signing key follows another: a document that both sign, the old one since it says who may follow, the new one since
 * it shows that somebody holds it. Who trusts one key of the chain can come to trust the newest.
 */
const kind = "signing-key";
/** Keys in a chain; a gateway that rotates each month fills it in five years, and begins a new one. */
const maxLinks = 64;
const fileName = "succession.json";

export function signSuccession(audience: string, version: number, previous: Signer, next: Signer): Envelope {
  const text = ({ publicKey }: Signer) => Buffer.from(publicKey).toString("base64");
  const document = { kind, audience, version, previous: text(previous), next: text(next) };
  return signDocument(document, [previous, next]);
}

/**
 * Follows a chain from keys that are trusted.
 * @param chain  envelopes, oldest first, as they came off the wire
 * @param isTrusted  by fingerprint
 * @returns the keys that come to be trusted, by their predecessors' fingerprints
 * @throws TidegateError ENVELOPE_INVALID, SIGNATURE_MISSING: a link that follows from a trusted key does not hold
 */
export function followSuccession(
  chain: readonly unknown[],
  audience: string,
  isTrusted: (keyId: string) => boolean,
): { previous: string; next: Uint8Array }[] {
  if (chain.length > maxLinks)
    throw new TidegateError("ENVELOPE_INVALID", { reason: `it names ${chain.length} keys in a row` });
  const reached: { previous: string; next: Uint8Array }[] = [];
  const known = new Set<string>();
  for (const envelope of chain) {
    const text = JSON.stringify(envelope);
    const named = keysNamedIn(text, audience);
    const keyId = fingerprint(named.previous);
    if (!isTrusted(keyId) && !known.has(keyId)) continue;
    const trusted = [named.previous, named.next];
    openDocument(text, { kind, audience, trusted, threshold: 2 });
    known.add(fingerprint(named.next));
    reached.push({ previous: keyId, next: named.next });
  }
  return reached;
}

/** What a link says, before anything of it is believed: which keys have to have signed it. */
function keysNamedIn(text: string, audience: string): { previous: Uint8Array; next: Uint8Array } {
  const { payload } = JSON.parse(text) as { payload?: unknown };
  const key = (value: unknown): Uint8Array => {
    const bytes = typeof value === "string" ? new Uint8Array(Buffer.from(value, "base64")) : null;
    if (bytes?.length !== 32) throw new TidegateError("ENVELOPE_INVALID", { reason: "it names no usable keys" });
    return bytes;
  };
  let document: { previous?: unknown; next?: unknown; audience?: unknown };
  try {
    document = JSON.parse(Buffer.from(String(payload), "base64").toString("utf8")) as typeof document;
  } catch (cause) {
    throw new TidegateError("ENVELOPE_INVALID", { reason: `its payload is not JSON: ${reasonOf(cause)}` }, { cause });
  }
  if (document.audience !== audience)
    throw new TidegateError("SIGNATURE_MISSING", { what: kind, reason: "it is of another gateway" });
  return { previous: key(document.previous), next: key(document.next) };
}

/** The chain of signing keys of a data directory, oldest first; empty when there was never another. */
export function readSuccession(dataDir: string): Envelope[] {
  const file = join(dataDir, "keys", fileName);
  try {
    const chain: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!Array.isArray(chain)) throw new Error("it is no list");
    return chain as Envelope[];
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return [];
    throw new TidegateError("KEY_DAMAGED", { file, reason: reasonOf(cause) }, { cause });
  }
}

/** The fingerprint of the first signing key of a data directory; undefined when it is the one in use. */
export function identityOf(dataDir: string): string | undefined {
  const [first] = readSuccession(dataDir);
  if (first === undefined) return undefined;
  const { previous } = JSON.parse(Buffer.from(first.payload, "base64").toString("utf8")) as { previous: string };
  return fingerprint(new Uint8Array(Buffer.from(previous, "base64")));
}

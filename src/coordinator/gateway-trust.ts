import { readFileSync } from "node:fs";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { errnoOf } from "../crypto/key-file.ts";
import { fingerprint } from "../crypto/signing.ts";
import type { BatchHead } from "../wire/batch-head.ts";
import type { SinkState, SinkStore } from "./sink-store.ts";

/** Raw Ed25519 public keys in base64, by `fleet/gateway`: what `keys trust` writes and an operator may edit. */
export type TrustedKeys = Readonly<Record<string, readonly string[]>>;

const storePrefix = "trust/";
const maxFirstUses = 100_000;

/**
 * Reads a file of trusted keys: JSON, `{"gateways": {"demo/gw-1": ["base64 of the public key", …]}}`. None when it is
 * not there.
 * @throws TidegateError FILE_UNREADABLE
 */
export function readTrustedKeys(file: string): TrustedKeys {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return {};
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  try {
    const { gateways } = JSON.parse(text) as { gateways?: unknown };
    if (typeof gateways !== "object" || gateways === null) throw new Error("it has no object `gateways`");
    for (const [name, keys] of Object.entries(gateways)) {
      const isKeys = Array.isArray(keys) && keys.every((key) => Buffer.from(String(key), "base64").length === 32);
      if (!isKeys) throw new Error(`the keys of ${name} are not a list of 32 bytes in base64`);
    }
    return gateways as TrustedKeys;
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

/**
 * Which key may sign for which gateway. With trust on first use, whoever comes first under a name that nobody has is
 * taken for that gateway from then on: convenient on a broker that only lets a gateway publish under its own name, and
 * a way in on any other.
 */
export class GatewayTrust {
  readonly #trusted = new Map<string, Set<string>>();
  /** Names of the file: the rest was trusted on first use. */
  #named = new Set<string>();
  readonly #isFirstUseTrusted: boolean;
  readonly #log: Log;
  #firstUses = 0;
  #unsaved = new Map<string, string>();

  constructor(trusted: TrustedKeys, isFirstUseTrusted: boolean, log: Log) {
    this.#isFirstUseTrusted = isFirstUseTrusted;
    this.#log = log;
    this.replace(trusted);
  }

  /** Takes up what the file says now; who was trusted on first use stays. A gateway without keys is trusted with none. */
  replace(trusted: TrustedKeys): void {
    for (const name of this.#named) this.#trusted.delete(name);
    this.#named = new Set(Object.keys(trusted));
    for (const [name, keys] of Object.entries(trusted)) {
      this.#trusted.set(name, new Set(keys.map((key) => fingerprint(Buffer.from(key, "base64")))));
    }
  }

  /** Takes up the first uses of earlier lives. */
  load({ values }: SinkState): void {
    if (!this.#isFirstUseTrusted) return;
    this.#log.warn("any key is trusted on its first use: name the gateways' keys before anything depends on them");
    for (const [name, key] of values) {
      if (!name.startsWith(storePrefix)) continue;
      this.#firstUses++;
      const gateway = name.slice(storePrefix.length);
      // What was named since then counts more than who came first.
      if (!this.#trusted.has(gateway)) this.#trusted.set(gateway, new Set([key]));
    }
  }

  /** Whether the key may sign; the signature is not its business. */
  isTrusted({ fleet, gateway, signer }: BatchHead): boolean {
    const known = this.#trusted.get(`${fleet}/${gateway}`);
    if (known) return known.has(fingerprint(signer));
    return this.#isFirstUseTrusted && this.#firstUses + this.#unsaved.size < maxFirstUses;
  }

  /** A batch whose signature was right: on first use its key is kept. */
  used({ fleet, gateway, signer }: BatchHead): void {
    const name = `${fleet}/${gateway}`;
    if (this.#trusted.has(name)) return;
    const key = fingerprint(signer);
    this.#trusted.set(name, new Set([key]));
    this.#unsaved.set(name, key);
    this.#log.warn({ gateway: name, key }, "a new gateway is trusted on its first use");
  }

  /** Writes down first uses, before anything of theirs is handed on. */
  async save(store: SinkStore): Promise<void> {
    if (this.#unsaved.size === 0) return;
    const values = Object.fromEntries([...this.#unsaved].map(([name, key]) => [storePrefix + name, key]));
    await store.commit({ values });
    this.#firstUses += this.#unsaved.size;
    this.#unsaved.clear();
  }
}

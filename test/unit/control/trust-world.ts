import { FakeClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { AuditEntry } from "../../../src/control/audit.ts";
import { DocumentGate } from "../../../src/control/document-gate.ts";
import { parsePolicy } from "../../../src/control/policy-text.ts";
import { TrustedTime } from "../../../src/control/trusted-time.ts";
import { signDocument } from "../../../src/crypto/signed-document.ts";
import { type Signer, signerOf } from "../../../src/crypto/signing.ts";

const seeds = new Map<Signer, Uint8Array>();
function named(n: number): Signer {
  const seed = new Uint8Array(32).fill(n, 0, 20);
  const signer = signerOf(seed);
  seeds.set(signer, seed);
  return signer;
}
/** The secret half of one of those below. */
export const seedOf = (signer: Signer): Uint8Array => seeds.get(signer) ?? new Uint8Array(32);
export const [alice, bob, cloud, mallory] = [named(1), named(2), named(3), named(4)] as const;
export const base64 = ({ publicKey }: Signer) => Buffer.from(publicKey).toString("base64");

export const policyText = `
principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
  bob: { keys: ["${base64(bob)}"], roles: [operator] }
  cloud: { keys: ["${base64(cloud)}"], roles: [coordinator, publisher] }
rules:
  - { allow: [config.set, config.reset], roles: [operator] }
  - { allow: [round.start], roles: [coordinator], resources: { models: ["mote-*"] } }
  - { allow: [data.erase], roles: [operator], require: { signers: 2 } }
  - { allow: [keys.rotate], principals: [alice], resources: { gateways: [gw-1] } }
`;

/** A gate on values that tests can look at, put back and take away. */
export function trustWorld({ policy = policyText as string | null, isSynchronized = true } = {}) {
  const clock = new FakeClock();
  const values = new Map<string, Uint8Array>();
  const state = {
    stateGet: async (name: string) => values.get(name) ?? null,
    statePut: async (name: string, value: Uint8Array) => void values.set(name, value),
  };
  const told: AuditEntry[] = [];
  const audit = { append: async (entry: AuditEntry) => void told.push(entry) };
  const keeper = { isSynchronized };
  const newTime = () => new TrustedTime({ clock, state, isSynchronized: () => keeper.isSynchronized });
  const trustedTime = newTime();
  const parsed = policy === null ? null : parsePolicy(policy);
  const newGate = () =>
    new DocumentGate({
      ...{ fleet: "demo", gateway: "gw-1", state, audit, trustedTime, log: silentLog },
      policy: () => parsed,
    });
  return {
    clock,
    values,
    told,
    keeper,
    trustedTime,
    newTime,
    newGate,
    gate: newGate(),
    policy: parsed,
    log: silentLog,
  };
}

export const issuedAt = new Date(1_700_000_000_000).toISOString();

/** A signed document as it comes off the wire. */
export const signed = (document: Record<string, unknown> & { kind: string }, ...signers: Signer[]): string =>
  JSON.stringify(signDocument({ audience: "demo/gw-1", version: 1, issuedAt, ...document }, signers));

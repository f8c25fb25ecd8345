import { TidegateError } from "../../src/base/errors.ts";
import type { Random } from "../../src/base/random.ts";
import { actions, decide, twoSignerActions } from "../../src/control/policy.ts";
import { parsePolicy } from "../../src/control/policy-text.ts";
import { openDocument, signDocument } from "../../src/crypto/signed-document.ts";
import { decodeHead, encodeHead } from "../../src/wire/batch-head.ts";
import { decodeCbor, encodeCbor } from "../../src/wire/cbor.ts";
import { alice, bob, mallory, policyText } from "../unit/control/trust-world.ts";

/** A reader of what strangers send. `read` throws an `Unsound` when it took what it must not, or failed as it must not. */
export type Target = {
  readonly name: string;
  /** Sound inputs that cases are made of. */
  readonly seeds: readonly Uint8Array[];
  /** @returns whether it was taken, as something that it may be taken for */
  read(bytes: Uint8Array): boolean;
};

export class Unsound extends Error {}

const document = {
  kind: "command",
  audience: "demo/gw-1",
  version: 3,
  issuedAt: "2023-11-14T22:13:20Z",
  id: "a",
  params: {},
};
const signedText = JSON.stringify(document);
const envelopes = [
  JSON.stringify(signDocument(document, [alice])),
  JSON.stringify(signDocument(document, [mallory, alice, bob])),
  JSON.stringify(signDocument({ ...document, audience: "demo/gw-2" }, [alice])),
  JSON.stringify(signDocument({ ...document, kind: "round" }, [alice])),
  JSON.stringify(signDocument({ ...document, params: { a: [[{}, null, 1.5e300]] } }, [mallory])),
].map((text) => Buffer.from(text));

/** Refused in the reader's own words, or a fault. */
function refuses(thrown: unknown, codes: readonly string[]): false {
  if (thrown instanceof TidegateError && codes.includes(thrown.code)) return false;
  throw new Unsound(`it failed with ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`);
}

const envelope: Target = {
  name: "envelope",
  seeds: envelopes,
  read(bytes) {
    try {
      const expected = { kind: "command", audience: ["demo", "demo/gw-1"], trusted: [alice.publicKey, bob.publicKey] };
      const { payload, signedBy } = openDocument(bytes, expected);
      // Spaces, key ids and other people's signatures may differ: what was signed may not.
      if (Buffer.from(payload).toString() !== signedText) throw new Unsound("it took what nobody has signed");
      if (signedBy.some((key) => key !== alice.keyId && key !== bob.keyId)) throw new Unsound("it trusts a stranger");
      return true;
    } catch (thrown) {
      if (thrown instanceof Unsound) throw thrown;
      return refuses(thrown, ["ENVELOPE_INVALID", "SIGNATURE_MISSING"]);
    }
  },
};

const policies = [
  policyText,
  `${policyText}  - { allow: [policy.set], principals: [alice, bob], resources: { gateways: ["gw-*"] } }\negress: { env: raw, "*": none }\n`,
  "principals: &p {}\nrules: []\negress: { '*': none }\n",
].map((text) => Buffer.from(text));

const policy: Target = {
  name: "policy",
  seeds: policies,
  read(bytes) {
    try {
      const parsed = parsePolicy(Buffer.from(bytes).toString("utf8"));
      const names = Object.keys(parsed.principals);
      for (const action of actions) {
        const may = (signers: string[]) => decide(parsed, { action, signers, resource: { gateway: "gw-1" } }).isAllowed;
        if (may([]) || may(["nobody", "toString", "__proto__"])) throw new Unsound(`${action} is open to strangers`);
        const isSingle = names.some((name) => may([name, name]));
        if (twoSignerActions.includes(action) && isSingle) throw new Unsound(`one alone may do ${action}`);
      }
      return true;
    } catch (thrown) {
      if (thrown instanceof Unsound) throw thrown;
      return refuses(thrown, ["POLICY_INVALID"]);
    }
  },
};

const head = {
  ...{ fleet: "demo", gateway: "gw-1", stream: "env", lane: "rest", incarnation: "0123456789abcdef" },
  ...{ n: 1, last: 2, count: 2, steps: null, size: 10, at: 1_700_000_000_000 },
};
const cbor: Target = {
  name: "cbor",
  seeds: [
    encodeCbor({ a: [1, -2, 1.5, "text", new Uint8Array([1, 2, 3]), null, true, { b: {} }] }),
    encodeCbor({ n: 2 ** 40, list: Array.from({ length: 40 }, (_, i) => i * 1_000), "": [[[[]]]] }),
    encodeHead(head as unknown as Parameters<typeof encodeHead>[0]),
  ],
  read(bytes) {
    const limits = { maxDepth: 8, maxItems: 1_000 };
    const [isTaken] = [(input: Uint8Array) => decodeCbor(input, limits), decodeHead].map((read) => {
      try {
        if (depthOf(read(bytes)) > limits.maxDepth + 1) throw new Unsound("it is deeper than was allowed");
        return true;
      } catch (thrown) {
        if (thrown instanceof Unsound || !(thrown instanceof Error)) throw thrown;
        if (thrown instanceof RangeError || thrown instanceof TypeError || thrown instanceof ReferenceError)
          throw new Unsound(`it failed with ${thrown.stack}`);
        return false;
      }
    });
    return isTaken === true;
  },
};

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

export const targets: readonly Target[] = [envelope, policy, cbor];

const words = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  "\\u0061",
  "null",
  "1e999",
  "==",
  "*",
  "&a",
  "*a",
  "<<:",
  "\n",
  "- ",
  "#",
  "\0",
];

/** A case: a sound input, or two, with a few places changed as strangers and faulty lines do. */
export function makeCase(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  let bytes = Buffer.from(pick(seeds));
  const changes = 1 + Math.floor(random() * 4);
  for (let i = 0; i < changes; i++) {
    const at = Math.floor(random() * (bytes.length + 1));
    const length = Math.floor(random() * 16);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    const kind = Math.floor(random() * 8);
    if (kind === 0 && bytes.length > 0) bytes[Math.min(at, bytes.length - 1)] = Math.floor(random() * 256);
    else if (kind === 1 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    else if (kind === 2) bytes = Buffer.concat([before, after.subarray(length)]);
    else if (kind === 3) bytes = Buffer.concat([before, Buffer.from(pick(words)), after]);
    else if (kind === 4) bytes = Buffer.concat([before, after.subarray(0, length), after]);
    else if (kind === 5) bytes = Buffer.from(before);
    else if (kind === 6) {
      const other = pick(seeds);
      bytes = Buffer.concat([before, other.subarray(Math.floor(random() * other.length))]);
    } else bytes = Buffer.concat([before, Buffer.alloc(length * 8, pick(words)), after]);
  }
  return new Uint8Array(bytes);
}

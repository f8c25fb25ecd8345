import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { LineCounter, parseDocument } from "yaml";
import * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Fault, FaultFinder, unknown } from "../config/fault.ts";
import { idPattern } from "../config/option.ts";
import { keyBytes } from "../crypto/sealing.ts";
import { fingerprint } from "../crypto/signing.ts";
import { actions, egressLevels, type Policy, roles } from "./policy.ts";
import { contradictions } from "./policy-contradictions.ts";

const maxPolicyBytes = 256 * 1024;
const maxBrackets = 10;
const [maxRules, maxPrincipals, maxKeys, maxPatterns] = [256, 256, 8, 64];

const pattern = z.string().regex(/^[A-Za-z0-9_*-]{1,64}$/, "expected a name, with * for any run of characters");
const patterns = z.array(pattern).min(1).max(maxPatterns);
const words = <const T extends readonly string[]>(known: T) =>
  z.enum(known as unknown as [string, ...string[]], {
    error: ({ input }) => unknown("name", String(input), known).message,
  }) as unknown as z.ZodType<T[number]>;
const names = <T>(one: z.ZodType<T>) => z.array(one).min(1, "expected at least one").max(64);

const shapes = {
  root: {
    version: z.literal(1, { error: "this version of Tidegate reads version 1" }).default(1),
    principals: z.record(z.string().regex(idPattern, "a name matches [A-Za-z0-9_-]{1,64}"), z.unknown()).default({}),
    rules: z.array(z.unknown()).max(maxRules).default([]),
    egress: z.record(pattern, words(egressLevels)).optional(),
  },
  principal: {
    keys: z
      .array(z.string({ error: "expected a key: 32 bytes in base64" }))
      .min(1, "expected a key")
      .max(maxKeys),
    roles: names(words(roles)).default([]),
  },
  rule: {
    allow: names(words(actions)),
    roles: names(words(roles)).default([]),
    principals: names(z.string()).default([]),
    resources: z
      .strictObject({ gateways: patterns.optional(), streams: patterns.optional(), models: patterns.optional() })
      .default({}),
    require: z.strictObject({ signers: z.number().int().min(1).max(16).default(1) }).default({ signers: 1 }),
  },
} as const;
const rootSchema = z.strictObject(shapes.root);
const principalSchema = z.strictObject(shapes.principal);
const ruleSchema = z.strictObject(shapes.rule);

/** The keys that a place of the policy knows, for those that are misspelt. */
function knownAt(path: readonly PropertyKey[]): readonly string[] {
  if (path[0] === "principals") return Object.keys(shapes.principal);
  if (path[0] !== "rules") return Object.keys(shapes.root);
  return path[2] === "resources"
    ? ["gateways", "streams", "models"]
    : path[2] === "require"
      ? ["signers"]
      : Object.keys(shapes.rule);
}

/**
 * Reads a policy.
 * @param text  YAML
 * @param name  how it is called in faults
 * @throws TidegateError POLICY_INVALID with every fault (`Fault[]`) in facts.faults: misspelt names with the nearest,
 *   keys of two principals, rules that nobody can fulfil, rules that another makes void
 */
export function parsePolicy(text: string, name = "policy"): Policy {
  const lines = new LineCounter();
  const invalid = (faults: readonly Fault[]) =>
    new TidegateError("POLICY_INVALID", { file: name, count: faults.length, faults });
  const whole = (message: string): Fault => ({ path: "", line: 1, column: 1, message });
  if (Buffer.byteLength(text) > maxPolicyBytes) throw invalid([whole(`is larger than ${maxPolicyBytes} bytes`)]);
  // The parser's time doubles with each level of keys that are themselves collections: a policy needs four levels.
  if (bracketDepth(text) > maxBrackets) throw invalid([whole(`is nested more than ${maxBrackets} brackets deep`)]);
  let finder: FaultFinder;
  let written: unknown;
  try {
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
    finder = new FaultFinder(document, lines, new Map());
    const faults = finder.ofText();
    if (faults.length > 0) throw invalid(faults);
    written = document.toJS({ maxAliasCount: 20 }) ?? {};
  } catch (thrown) {
    if (thrown instanceof TidegateError) throw thrown;
    throw invalid([whole(reasonOf(thrown))]);
  }
  const faults: Fault[] = [];
  const read = <T>(schema: z.ZodType<T>, value: unknown, at: readonly (string | number)[]): T | undefined => {
    const parsed = schema.safeParse(value);
    for (const issue of parsed.error?.issues ?? []) {
      const path = [...at, ...issue.path] as (string | number)[];
      if (issue.code === "unrecognized_keys")
        for (const key of issue.keys)
          faults.push(finder.at([...path, key], { ...unknown("key", key, knownAt(path)), isKey: true }));
      else if (issue.code === "invalid_key")
        faults.push(finder.at(path, { message: issue.issues[0]?.message ?? issue.message, isKey: true }));
      else faults.push(finder.at(path, { message: issue.message }));
    }
    return parsed.data;
  };
  const root = read(rootSchema, written, []);
  const principals = Object.entries(root?.principals ?? {}).flatMap(([principal, value]) => {
    const parsed = read(principalSchema, value, ["principals", principal]);
    return parsed ? [[principal, { roles: parsed.roles, keys: parsed.keys.map(decodeKey) }] as const] : [];
  });
  const rules = (root?.rules ?? []).flatMap((value, index) => {
    const parsed = read(ruleSchema, value, ["rules", index]);
    if (!parsed) return [];
    const { gateways, streams, models } = parsed.resources;
    const resources = {
      ...(gateways ? { gateway: gateways } : {}),
      ...(streams ? { stream: streams } : {}),
      ...(models ? { model: models } : {}),
    };
    const { allow, roles: ruleRoles, principals: named, require } = parsed;
    return [{ allow, roles: ruleRoles, principals: named, resources, signers: require.signers }];
  });
  if (principals.length > maxPrincipals) faults.push(whole(`has more than ${maxPrincipals} principals`));
  if (faults.length === 0) {
    const draft = { principals: Object.fromEntries(principals), rules };
    faults.push(...contradictions(draft).map(({ path, ...said }) => finder.at(path, said)));
  }
  if (faults.length > 0) throw invalid(faults);
  const egress = root?.egress && Object.entries(root.egress).map(([key, level]) => ({ pattern: key, level }));
  return {
    principals: Object.fromEntries(principals),
    rules,
    egress: egress ?? null,
    hash: hash("sha256", text, "hex"),
  };
}

/** The most brackets that are open at once; those in texts count, too: a policy has none there. */
function bracketDepth(text: string): number {
  let [depth, most] = [0, 0];
  for (const character of text) {
    if (character === "{" || character === "[") most = Math.max(most, ++depth);
    else if (character === "}" || character === "]") depth = Math.max(0, depth - 1);
  }
  return most;
}

/** @throws TidegateError FILE_UNREADABLE, POLICY_INVALID */
export function readPolicy(file: string): Policy {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  return parsePolicy(text, file);
}

/** Empty when it is no key: `contradictions` tells. */
function decodeKey(text: string): Uint8Array {
  const isKey = /^[A-Za-z0-9+/_-]{43}=?$/.test(text);
  return new Uint8Array(isKey ? Buffer.from(text, "base64") : []);
}

/** The keys of all principals, and whose each is by fingerprint. */
export function keysOf(policy: Pick<Policy, "principals">): { keys: Uint8Array[]; owners: Map<string, string> } {
  const owners = new Map<string, string>();
  const keys = Object.entries(policy.principals).flatMap(([name, principal]) =>
    principal.keys
      .filter((key) => key.length === keyBytes)
      .map((key) => {
        owners.set(fingerprint(key), name);
        return key;
      }),
  );
  return { keys, owners };
}

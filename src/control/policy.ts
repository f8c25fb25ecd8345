/** What a remote party may ask for. Nothing of it is allowed unless a rule says so. */
export const actions = [
  "config.set",
  /** Options that the schema marks `guarded`: brokers, keys, the policy's own place. Two signers at least. */
  "config.guarded",
  "config.reset",
  /** More of a stream to the cloud than the policy's `egress` lets out. Only named principals, never a role. */
  "egress.widen",
  "model.push",
  "model.rollback",
  "round.start",
  "data.export",
  "data.erase",
  "diag.collect",
  "keys.rotate",
  "fleet.enroll",
  /** Another policy. Two signers at least. */
  "policy.set",
] as const;
export type Action = (typeof actions)[number];

export const roles = ["operator", "publisher", "coordinator", "auditor"] as const;
export type Role = (typeof roles)[number];

/** Actions that no single key can do, whatever a rule says. */
export const twoSignerActions: readonly Action[] = ["config.guarded", "policy.set"];

/** What may leave a stream, least first: each level includes those before it. */
export const egressLevels = ["none", "results", "aggregates", "raw"] as const;
export type EgressLevel = (typeof egressLevels)[number];

/** Who may sign: a person or a service. A key belongs to one of them alone. */
export type Principal = { readonly keys: readonly Uint8Array[]; readonly roles: readonly Role[] };

/** What a rule or a request is about. Patterns have `*` for any run of characters. */
export type Scope<T> = { readonly gateway?: T; readonly stream?: T; readonly model?: T };
const dimensions = ["gateway", "stream", "model"] as const;

export type Rule = {
  readonly allow: readonly Action[];
  /** Whoever has one of the roles, and the principals named. */
  readonly roles: readonly Role[];
  readonly principals: readonly string[];
  /** Absent dimensions: any, also none at all. */
  readonly resources: Scope<readonly string[]>;
  readonly signers: number;
};

export type Policy = {
  readonly principals: Readonly<Record<string, Principal>>;
  readonly rules: readonly Rule[];
  /** The most that may leave a stream, by pattern, the first match counts; null: the site's configuration decides. */
  readonly egress: readonly { readonly pattern: string; readonly level: EgressLevel }[] | null;
  /** SHA-256 of the text, hex. */
  readonly hash: string;
};

export type PolicyRequest = {
  readonly action: Action;
  readonly resource: Scope<string>;
  /** Names of the principals that signed. */
  readonly signers: readonly string[];
};

/** Whether a request is allowed, by which rule, and of every other rule why not. */
export type Decision = {
  readonly isAllowed: boolean;
  /** Place of the rule in the policy, from 0. */
  readonly rule: number | null;
  /** True when a rule would have allowed it with more signers. */
  readonly lacksSigners: boolean;
  readonly why: readonly { readonly rule: number; readonly reason: string }[];
};

/** Judges a request: allowed as soon as one rule allows it, refused else. */
export function decide(policy: Policy, request: PolicyRequest): Decision {
  const why: { rule: number; reason: string }[] = [];
  let lacksSigners = false;
  for (const [index, rule] of policy.rules.entries()) {
    const { reason, isShort } = misses(policy, rule, request);
    if (reason === null) return { isAllowed: true, rule: index, lacksSigners: false, why };
    lacksSigners ||= isShort;
    why.push({ rule: index, reason });
  }
  return { isAllowed: false, rule: null, lacksSigners, why };
}

function misses(policy: Policy, rule: Rule, { action, resource, signers }: PolicyRequest) {
  const no = (reason: string) => ({ reason, isShort: false });
  if (!rule.allow.includes(action)) return no(`is about ${rule.allow.join(", ")}`);
  for (const dimension of dimensions) {
    const patterns = rule.resources[dimension];
    if (patterns === undefined) continue;
    const name = resource[dimension];
    if (name === undefined) return no(`is for single ${dimension}s (${patterns.join(", ")}): this is for all`);
    if (!patterns.some((pattern) => matchesPattern(pattern, name)))
      return no(`is for ${dimension}s ${patterns.join(", ")}, not ${name}`);
  }
  const entitled = [...new Set(signers)].filter((name) => isEntitled(policy, rule, name));
  const needed = neededSigners(rule, action);
  if (entitled.length >= needed) return { reason: null, isShort: false };
  const who = [...rule.roles, ...rule.principals].join(", ");
  return { reason: `asks for ${needed} of ${who}: ${entitled.length} signed`, isShort: entitled.length > 0 };
}

export const neededSigners = (rule: Rule, action: Action): number =>
  Math.max(rule.signers, twoSignerActions.includes(action) ? 2 : 1);

/** Whether a rule speaks of this principal. */
export function isEntitled(policy: Policy, rule: Rule, name: string): boolean {
  const principal = Object.hasOwn(policy.principals, name) ? policy.principals[name] : undefined;
  if (principal === undefined) return false;
  return rule.principals.includes(name) || rule.roles.some((role) => principal.roles.includes(role));
}

/** The most that a stream may send; null when the policy does not say. Streams that no pattern names send nothing. */
export function egressOf(policy: Policy | null, stream: string): EgressLevel | null {
  if (!policy?.egress) return null;
  return policy.egress.find(({ pattern }) => matchesPattern(pattern, stream))?.level ?? "none";
}

export const isWider = (level: EgressLevel, than: EgressLevel): boolean =>
  egressLevels.indexOf(level) > egressLevels.indexOf(than);

/** Whether a name fits a pattern in which `*` stands for any run of characters. Linear in the name's length. */
export function matchesPattern(pattern: string, name: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  if (rest.length === 0) return pattern === name;
  const last = rest.pop() ?? "";
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= name.length - last.length;
}

/** Whether every name that fits `narrow` fits `wide`; false also where it cannot be told simply. */
export const coversPattern = (wide: string, narrow: string): boolean =>
  wide === narrow || wide === "*" || (!narrow.includes("*") && matchesPattern(wide, narrow));

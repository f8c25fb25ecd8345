import { nearestName } from "../base/nearest-name.ts";
import type { FaultWords } from "../config/fault.ts";
import type { Path } from "../config/walk.ts";
import { keyBytes } from "../crypto/sealing.ts";
import { fingerprint } from "../crypto/signing.ts";
import { coversPattern, isEntitled, neededSigners, type Policy, type Rule, twoSignerActions } from "./policy.ts";

type Draft = Pick<Policy, "principals" | "rules">;
type Said = { readonly path: Path } & FaultWords;

/** What is wrong with a policy whose every part is well formed: nothing that it says may be void, or beyond anyone. */
export function contradictions(draft: Draft): Said[] {
  return [...keyFaults(draft), ...draft.rules.flatMap((rule, index) => ruleFaults(draft, rule, index))];
}

function keyFaults({ principals }: Draft): Said[] {
  const owners = new Map<string, string>();
  const faults: Said[] = [];
  for (const [name, { keys }] of Object.entries(principals))
    for (const [index, key] of keys.entries()) {
      const path: Path = ["principals", name, "keys", index];
      const id = fingerprint(key);
      const owner = owners.get(id);
      if (key.length !== keyBytes) faults.push({ path, message: "expected a key: 32 bytes (Ed25519) in base64" });
      // Two names for one key would let one person sign for two.
      else if (owner !== undefined)
        faults.push({ path, message: `is ${owner === name ? "named twice" : `${owner}'s key already`}` });
      else owners.set(id, name);
    }
  return faults;
}

function ruleFaults(draft: Draft, rule: Rule, index: number): Said[] {
  const at = (...rest: (string | number)[]): Path => ["rules", index, ...rest];
  const known = Object.keys(draft.principals);
  const faults: Said[] = rule.principals.flatMap((name, i) => {
    if (known.includes(name)) return [];
    const nearest = nearestName(name, known);
    const hint = nearest === undefined ? `known are ${known.join(", ") || "none"}` : `did you mean ${nearest}?`;
    return [{ path: at("principals", i), message: `no principal is called ${name}; ${hint}`, nearest }];
  });
  if (rule.roles.length === 0 && rule.principals.length === 0)
    faults.push({ path: at(), message: "names nobody: give roles or principals" });
  if (faults.length > 0) return faults;
  if (rule.allow.includes("egress.widen") && rule.roles.length > 0)
    faults.push({ path: at("roles"), message: "egress.widen is for principals that are named, not for a role" });
  const single = rule.allow.find((action) => twoSignerActions.includes(action));
  const needed = Math.max(...rule.allow.map((action) => neededSigners(rule, action)));
  const entitled = known.filter((name) => isEntitled(draft as Policy, rule, name));
  if (entitled.length < needed)
    faults.push({
      path: at(),
      message: `asks for ${needed} signers${single && rule.signers < 2 ? ` (${single} always does)` : ""}, and there ${entitled.length === 1 ? "is 1" : `are ${entitled.length}`}: nobody could do it`,
    });
  const weaker = draft.rules.findIndex(
    (other, i) => i !== index && other.signers < rule.signers && isCoveredBy(draft, rule, other),
  );
  if (weaker >= 0)
    faults.push({
      path: at("require"),
      message: `asks for ${rule.signers} signers of what rule ${weaker + 1} allows with ${draft.rules[weaker]?.signers}`,
    });
  return faults;
}

/** Whether all that `rule` speaks of, for everyone it speaks of, `other` speaks of too. */
function isCoveredBy(draft: Draft, rule: Rule, other: Rule): boolean {
  const isShared = rule.allow.some((action) => other.allow.includes(action) && !twoSignerActions.includes(action));
  const covers = (wide: readonly string[] | undefined, narrow: readonly string[] | undefined): boolean =>
    wide === undefined || (narrow?.every((one) => wide.some((pattern) => coversPattern(pattern, one))) ?? false);
  const { resources: inner } = rule;
  const { resources: outer } = other;
  const entitled = Object.keys(draft.principals).filter((name) => isEntitled(draft as Policy, rule, name));
  return (
    isShared &&
    covers(outer.gateway, inner.gateway) &&
    covers(outer.stream, inner.stream) &&
    covers(outer.model, inner.model) &&
    entitled.every((name) => isEntitled(draft as Policy, other, name))
  );
}

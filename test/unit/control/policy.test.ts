import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Fault } from "../../../src/config/fault.ts";
import { decide, egressOf, matchesPattern } from "../../../src/control/policy.ts";
import { parsePolicy } from "../../../src/control/policy-text.ts";
import { alice, base64, bob, policyText } from "./trust-world.ts";

const people = `principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
  bob: { keys: ["${base64(bob)}"], roles: [auditor] }
`;

function faultsOf(text: string): Fault[] {
  try {
    parsePolicy(text);
  } catch (thrown) {
    return (thrown as { facts: { faults: Fault[] } }).facts.faults;
  }
  return [];
}

describe("a policy", () => {
  const policy = parsePolicy(policyText);
  const may = (action: Parameters<typeof decide>[1]["action"], signers: string[], resource = {}) =>
    decide(policy, { action, signers, resource: { gateway: "gw-1", ...resource } });

  it("denies by default, and says of every rule why", () => {
    const decision = may("model.push", ["alice"]);
    expect(decision).toMatchObject({ isAllowed: false, rule: null, lacksSigners: false });
    expect(decision.why.map(({ rule }) => rule)).toEqual([0, 1, 2, 3]);
    expect(may("config.set", [])).toMatchObject({ isAllowed: false });
    expect(may("config.set", ["nobody"])).toMatchObject({ isAllowed: false });
  });

  it("allows by role, by name, by pattern, and by number of people", () => {
    expect(may("config.set", ["bob"])).toMatchObject({ isAllowed: true, rule: 0 });
    expect(may("round.start", ["cloud"], { model: "mote-anomaly" })).toMatchObject({ isAllowed: true, rule: 1 });
    expect(may("round.start", ["cloud"], { model: "digits" })).toMatchObject({ isAllowed: false });
    expect(may("data.erase", ["alice"])).toMatchObject({ isAllowed: false, lacksSigners: true });
    expect(may("data.erase", ["alice", "alice"])).toMatchObject({ isAllowed: false });
    expect(may("data.erase", ["alice", "cloud"])).toMatchObject({ isAllowed: false });
    expect(may("data.erase", ["alice", "bob"])).toMatchObject({ isAllowed: true, rule: 2 });
    expect(may("keys.rotate", ["bob"])).toMatchObject({ isAllowed: false });
    expect(may("keys.rotate", ["alice"], { gateway: "gw-2" })).toMatchObject({ isAllowed: false });
  });

  it("asks for two whatever the rule says where one key must never do", () => {
    const two = parsePolicy(policyText.replace("config.reset]", "config.reset, policy.set]"));
    const request = { action: "policy.set" as const, resource: {} };
    expect(decide(two, { ...request, signers: ["alice"] })).toMatchObject({ isAllowed: false, lacksSigners: true });
    expect(decide(two, { ...request, signers: ["alice", "bob"] })).toMatchObject({ isAllowed: true });
  });

  it("a rule for single streams does not speak of all", () => {
    const some = parsePolicy(
      `${people}rules:\n  - { allow: [data.erase], roles: [operator], resources: { streams: [env] } }`,
    );
    const request = { action: "data.erase" as const, signers: ["alice"] };
    expect(decide(some, { ...request, resource: { stream: "env" } }).isAllowed).toBe(true);
    expect(decide(some, { ...request, resource: {} }).isAllowed).toBe(false);
  });

  it("bounds what a stream may send; what it does not name sends nothing", () => {
    const bounded = parsePolicy(`${people}egress: { env: aggregates, "cam-*": none, "*-raw": raw }`);
    expect(["env", "cam-raw", "x-raw", "other"].map((stream) => egressOf(bounded, stream))).toEqual([
      "aggregates",
      "none",
      "raw",
      "none",
    ]);
    expect(egressOf(policy, "env")).toBeNull();
  });

  it.each([
    ["rule: []", "rule", "did you mean rules?"],
    [`${people}rules:\n  - { alow: [config.set], roles: [operator] }`, "rules[0].alow", "did you mean allow?"],
    [
      `${people}rules:\n  - { allow: [config.sett], roles: [operator] }`,
      "rules[0].allow[0]",
      "did you mean config.set?",
    ],
    [`${people}rules:\n  - { allow: [config.set], roles: [operater] }`, "rules[0].roles[0]", "did you mean operator?"],
    [
      `${people}rules:\n  - { allow: [config.set], principals: [alise] }`,
      "rules[0].principals[0]",
      "did you mean alice?",
    ],
    [`${people}rules:\n  - { allow: [config.set] }`, "rules[0]", "names nobody"],
    [`${people}rules:\n  - { allow: [config.set], roles: [publisher] }`, "rules[0]", "nobody could do it"],
    [`${people}rules:\n  - { allow: [policy.set], roles: [operator] }`, "rules[0]", "policy.set always does"],
    [`${people}rules:\n  - { allow: [egress.widen], roles: [operator] }`, "rules[0].roles", "that are named"],
    [`${people}egress: { env: everything }`, "egress.env", "known are"],
    [`${people}egress: { env: aggregate }`, "egress.env", "did you mean aggregates?"],
    ['principals: { a: { keys: ["AAAA"] } }', "principals.a.keys[0]", "32 bytes"],
    [
      `principals: { a: { keys: ["${base64(alice)}"] }, b: { keys: ["${base64(alice)}"] } }`,
      "principals.b.keys[0]",
      "a's key",
    ],
    ["principals: { a: {}, a: {} }", "", "unique"],
    ["- a", "", "expected"],
    ["version: 2", "version", "version 1"],
    ["a: &a [*a]", "a", ""],
    // With 70 of them the parser would take longer than anyone waits.
    [`principals: &p ${"{".repeat(70)}&a}`, "", "nested"],
  ])("tells what is wrong with %.60s", (text, path, message) => {
    const faults = faultsOf(text);
    expect(faults.map((fault) => fault.path)).toContain(path);
    expect(faults.map((fault) => fault.message.toLowerCase()).join("\n")).toContain(message.toLowerCase());
  });

  it("refuses a rule that another makes void", () => {
    const both = (streams: string) => `${people.replace("auditor", "operator")}rules:
  - { allow: [data.erase], roles: [operator], resources: { streams: [${streams}] } }
  - { allow: [data.erase], roles: [operator], resources: { streams: [env] }, require: { signers: 2 } }`;
    expect(faultsOf(both('"*"'))).toEqual([expect.objectContaining({ path: "rules[1].require", line: 6 })]);
    expect(faultsOf(both("cam"))).toEqual([]);
  });

  it("matches patterns as regular expressions would", () => {
    const part = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
    fc.assert(
      fc.property(part, fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 }), (pattern, name) => {
        const expected = new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(name);
        expect(matchesPattern(pattern, name)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});

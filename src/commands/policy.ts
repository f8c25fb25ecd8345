import { nearestName } from "../base/nearest-name.ts";
import { type Action, actions, decide, type Policy, type Rule } from "../control/policy.ts";
import { readPolicy } from "../control/policy-text.ts";
import { fingerprint } from "../crypto/signing.ts";
import { loadFor } from "./load-configuration.ts";
import { renderTable } from "./terminal/table.ts";
import { answer, configOption, type Define, type Io, jsonOption, OptionFault } from "./verb.ts";

type Options = { config?: string; json?: boolean; file?: string };
type TestOptions = Options & { by: string[]; gateway?: string; stream?: string; model?: string };

const fileOption = ["--file <file>", "this policy instead of the one that the configuration names"] as const;

export const define: Define = (command, io) => {
  command
    .command("show")
    .description("print who may do what from afar, and what may leave the site")
    .option(...fileOption)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate policy show --file policy.yaml")
    .action((options: Options) => {
      const policy = policyFor(io, options);
      if (options.json) return io.out(JSON.stringify(policy && described(policy)));
      if (!policy) return io.out("There is no policy: nobody may change anything from afar.");
      show(policy, io);
    });

  command
    .command("test")
    .description("tell whether a request would be allowed, and why (exit 1 when not)")
    .argument("<action>", `one of ${actions.join(", ")}`, (text: string): Action => {
      const action = actions.find((name) => name === text);
      if (action) return action;
      const nearest = nearestName(text, actions);
      throw new OptionFault("<action>", text, nearest ? `an action: did you mean ${nearest}?` : actions.join(", "));
    })
    .requiredOption("--by <principals...>", "who signs")
    .option("--gateway <id>", "the gateway that is asked (default: this one)")
    .option("--stream <name>", "the stream that it is about")
    .option("--model <name>", "the model that it is about")
    .option(...fileOption)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate policy test data.erase --by alice bob --stream env")
    .action((action: Action, options: TestOptions) => {
      const policy = policyFor(io, options);
      const resource = {
        gateway: options.gateway ?? (options.file === undefined ? loadFor(io, options).config.gateway.id : "gw-1"),
        ...(options.stream === undefined ? {} : { stream: options.stream }),
        ...(options.model === undefined ? {} : { model: options.model }),
      };
      const decision = policy ? decide(policy, { action, resource, signers: options.by }) : null;
      if (!decision?.isAllowed) answer(1);
      const strangers = options.by.filter((name) => !policy || !Object.hasOwn(policy.principals, name));
      if (options.json)
        return io.out(
          JSON.stringify({
            action,
            resource,
            by: options.by,
            strangers,
            ...(decision ?? { isAllowed: false, rule: null, why: [] }),
          }),
        );
      if (!policy || !decision) return io.out("Refused: there is no policy.");
      for (const name of strangers) io.out(`No principal is called ${name}.`);
      if (decision.rule !== null)
        io.out(`Allowed by rule ${decision.rule + 1}: ${ruleText(policy.rules[decision.rule])}`);
      else io.out(policy.rules.length === 0 ? "Refused: the policy has no rules." : "Refused: no rule allows it.");
      for (const { rule, reason } of decision.why) io.out(`  rule ${rule + 1} ${reason}`);
    });
};

function policyFor(io: Io, options: Options): Policy | null {
  if (options.file !== undefined) return readPolicy(options.file);
  const { policy } = loadFor(io, options).config;
  return policy === undefined ? null : readPolicy(policy);
}

function show(policy: Policy, io: Io): void {
  const people = described(policy).principals;
  const rows = Object.entries(people).map(([name, { roles, keys }]) => [name, roles.join(", "), keys.join(", ")]);
  for (const line of renderTable(["principal", "roles", "keys"], rows)) io.out(line);
  io.out("");
  for (const [index, rule] of policy.rules.entries()) io.out(`rule ${index + 1}: ${ruleText(rule)}`);
  for (const { pattern, level } of policy.egress ?? []) io.out(`egress: ${pattern}: ${level} at most`);
  const isRemote = policy.rules.some(({ allow }) => allow.includes("policy.set"));
  io.out(isRemote ? "It can be changed from afar, by two signers at least." : "It can be changed at the site only.");
}

const described = (policy: Policy) => ({
  hash: policy.hash,
  principals: Object.fromEntries(
    Object.entries(policy.principals).map(([name, { keys, roles }]) => [name, { roles, keys: keys.map(fingerprint) }]),
  ),
  rules: policy.rules,
  egress: policy.egress,
});

function ruleText(rule: Rule | undefined): string {
  if (!rule) return "";
  const who = [...rule.roles, ...rule.principals].join(", ");
  const about = Object.entries(rule.resources).map(([what, patterns]) => `${what}s ${patterns.join(", ")}`);
  const signers = rule.signers > 1 ? `, ${rule.signers} signers` : "";
  return `${rule.allow.join(", ")} by ${who}${signers}${about.length > 0 ? `, for ${about.join(" and ")}` : ""}`;
}

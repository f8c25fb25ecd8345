import { TidegateError } from "../../base/errors.ts";
import { fleetTopics, isId, siteTopics } from "../../wire/topics.ts";

/** A user of a broker and what it is there for. */
export type AclUser = { readonly user: string; readonly rules: readonly string[]; readonly what: string };

const read = (...topics: string[]) => topics.map((topic) => `topic read ${topic}`);
const write = (...topics: string[]) => topics.map((topic) => `topic write ${topic}`);
const both = (...topics: string[]) => topics.map((topic) => `topic readwrite ${topic}`);

/** The broker's own name, which `tidegate check` asks for. */
const softwareTopic = "$SYS/broker/version";

/** Who needs what on the site's broker, and nothing beyond it. @param filters  what the gateway's streams subscribe */
export const siteRoles = {
  gateway: (id: string, filters: readonly string[]) => [
    ...read(softwareTopic, ...filters),
    ...both(`${siteTopics(id).prefix}#`),
  ],
  sensor: (filters: readonly string[]) => write(...filters),
  /** The site's other software: results and states of every gateway. */
  reader: () => read("tidegate/#"),
};

/**
 * Who needs what on the cloud's broker. A gateway has its own subtree and reads what is for the whole fleet; the data of
 * gateways are read by sinks alone, and nobody but the coordinator and operators tells gateways anything.
 */
export const cloudRoles = {
  gateway: (fleet: string, id: string) => {
    const { prefix, gateway } = fleetTopics(fleet);
    return [...both(gateway(id).subtree), ...read(`${prefix}models/#`, `${prefix}rounds/#`, `${prefix}keys/#`)];
  },
  sink: (fleet: string) => {
    const { all, dataKeys } = fleetTopics(fleet);
    const each = fleetTopics(fleet).gateway("+");
    return [
      ...read(all.data, all.erasures),
      ...write(each.receipts, dataKeys),
      // A message to itself through a shared subscription shows whether the broker shares.
      ...both("tidegate/v1/probe/gateways/+/receipts/probe"),
    ];
  },
  /** It leads rounds and rollouts; configurations and commands are for operators to sign and send. */
  coordinator: (fleet: string) => {
    const { all, coordinator, prefix } = fleetTopics(fleet);
    const each = fleetTopics(fleet).gateway("+");
    return [
      ...read(all.status, all.metrics, all.updates, all.enrolments),
      ...write(each.receipts, `${prefix}models/#`),
      ...both(coordinator("+"), `${prefix}rounds/#`),
    ];
  },
  worker: (fleet: string) => {
    const each = fleetTopics(fleet).gateway("+");
    const { all, prefix } = fleetTopics(fleet);
    return [...read(all.asks, `${prefix}models/#`), ...write(each.answers)];
  },
  operator: (fleet: string) => {
    const { all, prefix } = fleetTopics(fleet);
    const each = fleetTopics(fleet).gateway("+");
    return [
      ...read(all.status, all.metrics, all.reported, all.commandStatus, `${prefix}rounds/#`),
      ...both(each.twinDesired, each.commands, `${prefix}models/#`),
    ];
  },
};

/**
 * An `acl_file` of mosquitto. Rules before the first user would be everybody's: there are none.
 * @throws TidegateError USAGE when a user's name cannot stand there
 */
export function renderAcl(head: readonly string[], users: readonly AclUser[]): string {
  const byUser = new Map<string, AclUser[]>();
  for (const entry of users) byUser.set(entry.user, [...(byUser.get(entry.user) ?? []), entry]);
  const blocks = [...byUser].map(([user, entries]) => {
    // A line's end, or a blank at one of its ends, would make it another user.
    if (!/^[^\s\p{Cc}](.*[^\s\p{Cc}])?$/u.test(user) || /\p{Cc}/u.test(user))
      throw new TidegateError("USAGE", { detail: `${JSON.stringify(user)} cannot be a user of mosquitto's acl_file` });
    const what = entries.map(({ what: role }) => role).join(", ");
    return [`# ${what}`, `user ${user}`, ...new Set(entries.flatMap(({ rules }) => rules))].join("\n");
  });
  return `${[head.map((line) => `# ${line}`).join("\n"), ...blocks].join("\n\n")}\n`;
}

/** `gw-1` or `gw-1=user`: a gateway, and the user that it comes as. @throws TidegateError USAGE */
export function parseGatewayUser(text: string): { id: string; user: string } {
  const [id = "", user = id] = text.split(/=(.*)/s);
  if (!isId(id)) throw new TidegateError("USAGE", { detail: `"${id}" is no gateway's id` });
  return { id, user };
}

import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import { siteFilters } from "../../gateway/links.ts";
import { loadFor } from "../load-configuration.ts";
import { configOption, type Io, jsonOption } from "../verb.ts";
import { type AclUser, cloudRoles, parseGatewayUser, renderAcl, siteRoles } from "./broker-acl.ts";

type Options = {
  config?: string;
  json?: boolean;
  site?: boolean;
  cloud?: boolean;
  gateway: string[];
  sensor: string[];
  reader: string[];
  sink: string[];
  coordinator: string[];
  worker: string[];
  operator: string[];
};

const gather = (value: string, before: string[]): string[] => [...before, value];

export function defineAcl(config: Command, io: Io): void {
  const command = config
    .command("acl")
    .description("write the access rules (mosquitto's acl_file) that a broker should have")
    .option(...configOption)
    .option(...jsonOption)
    .option("--site", "for the site's broker")
    .option("--cloud", "for the cloud's broker");
  for (const [flag, words] of [
    ["--gateway <id[=user]>", "a gateway and the user it comes as (default: this one, as the configuration has it)"],
    ["--sensor <user>", "site: who publishes what the streams take"],
    ["--reader <user>", "site: who reads results and states"],
    ["--sink <user>", "cloud: `tidegate sink`"],
    ["--coordinator <user>", "cloud: `tidegate coordinator`"],
    ["--worker <user>", "cloud: `tidegate worker`"],
    ["--operator <user>", "cloud: whoever pushes configurations and models"],
  ] as const)
    command.option(flag, `${words}; may be repeated`, gather, []);
  command
    .addHelpText(
      "after",
      "\nExample: tidegate config acl --cloud --gateway gw-1 --gateway gw-2 --sink sink > /etc/mosquitto/tidegate.acl\nIn mosquitto.conf: allow_anonymous false, password_file …, acl_file /etc/mosquitto/tidegate.acl; then reload it.",
    )
    .action((options: Options) => {
      const text = aclFor(io, options);
      if (options.json) io.out(JSON.stringify({ acl: text }));
      else for (const line of text.trimEnd().split("\n")) io.out(line);
    });
}

function aclFor(io: Io, options: Options): string {
  if (options.site === options.cloud)
    throw new TidegateError("USAGE", { detail: "say for which broker: --site or --cloud" });
  const { config } = loadFor(io, options);
  const { id, fleet } = config.gateway;
  const of = (users: readonly string[], what: string, rules: readonly string[]): AclUser[] =>
    users.map((user) => ({ user, what, rules }));
  const own = (username: string | undefined) =>
    options.gateway.length === 0 ? [{ id, user: username ?? id }] : options.gateway.map(parseGatewayUser);
  if (options.site) {
    const filters = siteFilters(config);
    return renderAcl(
      [`Access rules of a site's broker (mosquitto), fleet ${fleet}. Who is not named here may do nothing.`],
      [
        ...own(config.sensors.username).flatMap((gateway) =>
          of([gateway.user], `gateway ${gateway.id}`, siteRoles.gateway(gateway.id, filters)),
        ),
        ...of(options.sensor, "sensor", siteRoles.sensor(filters)),
        ...of(options.reader, "reader of results", siteRoles.reader()),
      ],
    );
  }
  return renderAcl(
    [`Access rules of the cloud's broker (mosquitto), fleet ${fleet}. Who is not named here may do nothing.`],
    [
      ...own(config.cloud?.username).flatMap((gateway) =>
        of([gateway.user], `gateway ${gateway.id}`, cloudRoles.gateway(fleet, gateway.id)),
      ),
      ...of(options.sink, "sink", cloudRoles.sink(fleet)),
      ...of(options.coordinator, "coordinator", cloudRoles.coordinator(fleet)),
      ...of(options.worker, "worker", cloudRoles.worker(fleet)),
      ...of(options.operator, "operator", cloudRoles.operator(fleet)),
    ],
  );
}

import { hostname } from "node:os";
import { machineGatewayId } from "../../config/gateway-id.ts";
import { detectProfile, readProfile } from "../../config/profile.ts";

/** The configuration that a new gateway begins with: what was found about the device, and where streams go. */
export function firstConfig({ broker, isService }: { broker: string; isService: boolean }): string {
  const profile = readProfile(detectProfile());
  const machineId = machineGatewayId();
  const id =
    machineId === undefined ? `id: ${hostId()}` : `id: auto               # from the machine's id: ${machineId}`;
  return `# Every key is in docs/reference/configuration.md; \`tidegate config validate\` names what is wrong.
version: 1
gateway:
  ${id}
  fleet: default
  profile: ${profile.name}   # ${profile.title}
  dataDir: ${isService ? "/var/lib/tidegate" : "data"}
sensors:
  url: ${JSON.stringify(broker)}
  # username: tidegate
  # passwordFile: mqtt-password
# Without \`cloud\` the gateway stands alone.
# cloud:
#   url: "mqtts://broker.example.com:8883"
#   dataKey: "..."            # the sink prints it
# Streams: \`tidegate discover --config FILE >> FILE\` adds what it proposes from what the broker carries. They look like
# streams:
#   env:
#     topic: "motes/{mote}/env"
#     fields: { humidity: humidity, temperature: temperature }
#     timestamp: ts
#     model: mote-anomaly
`;
}

/** A name for a machine that has no id of its own, as in many containers. */
function hostId(): string {
  const name = hostname()
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .slice(0, 60);
  return `gw-${name || "1"}`;
}

import { randomBytes } from "node:crypto";
import type { CloudConfig, Config, LinkConfig } from "../../config/config.ts";
import { certificateNoticeMs, endText } from "../../gateway/certificate-watch.ts";
import { readCredentials } from "../../gateway/credentials.ts";
import { siteSubscriptions } from "../../gateway/links.ts";
import { isLoopback } from "../../ops/http-access.ts";
import { refusalReason } from "../../wire/link-errors.ts";
import { brokerAddress } from "../../wire/link-options.ts";
import { type CertificateEnds, LinkSecurity } from "../../wire/link-security.ts";
import { fleetTopics } from "../../wire/topics.ts";
import { type Visit, visitBroker } from "./broker-visit.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

type Place = "site broker" | "cloud broker";

/** Lines of mosquitto.conf without which it forgets, or drops, what a gateway missed. What is set cannot be asked for. */
const mosquittoLines = ["max_queued_messages 0", "max_inflight_messages 0", "persistence true", "autosave_interval 10"];
const brokenPromise =
  "Let the broker keep sessions, and their messages, for clients that are away; until then what is sent meanwhile is lost.";

/** Visits the site's broker and, where there is one, the cloud's. */
export async function checkBrokers(config: Config, credentialsDir?: string): Promise<Finding[]> {
  const { sensors, cloud, gateway } = config;
  const id = `${gateway.id}-check-${randomBytes(4).toString("hex")}`;
  const wanted = siteSubscriptions(config).map(({ topic, qos }) => ({ topic, qos, retainHandling: 2 as const }));
  const receipts = fleetTopics(gateway.fleet).gateway(gateway.id).receipts;
  const visits = [checkBroker("site broker", sensors, id, wanted, credentialsDir)];
  if (cloud) {
    const own = [{ topic: receipts, qos: 1, retainHandling: 2 }] as const;
    visits.push(checkBroker("cloud broker", cloud, id, own, credentialsDir));
  }
  return (await Promise.all(visits)).flat();
}

async function checkBroker(
  name: Place,
  link: LinkConfig | CloudConfig,
  clientId: string,
  subscriptions: Parameters<typeof visitBroker>[0]["subscriptions"],
  credentialsDir?: string,
): Promise<Finding[]> {
  let visit: Visit;
  let ends: CertificateEnds;
  try {
    const credentials = readCredentials(link, credentialsDir);
    visit = await visitBroker({ settings: link, credentials, clientId, subscriptions });
    const security = new LinkSecurity(link.url, credentials.tls);
    security.opened(visit.opening.certificateEnds);
    ends = security.certificates;
  } catch (thrown) {
    return [fail(name, thrown)];
  }
  return [
    offered(name, link, visit),
    ...certificates(name, ends),
    ...refused(name, subscriptions, visit),
    ...(name === "site broker" ? [sessions(link, visit)] : []),
  ];
}

/** What the broker offers: version, window, quality of service, size of a message. */
function offered(name: Place, link: LinkConfig | CloudConfig, { version, opening, software }: Visit): Finding {
  const { maximumQos, receiveMaximum, maxPacket } = opening;
  const window =
    version === "5"
      ? `receive maximum ${link.receiveMaximum} here, ${receiveMaximum} there`
      : "a window of its own choice";
  const detail = `${link.url}${software === null ? "" : ` (${software})`}: MQTT ${version}, ${window}`;
  if (maximumQos < 1)
    return {
      name,
      level: "fail",
      detail: `${detail}, QoS 0 only`,
      remedy: "Choose a broker with QoS 1: with QoS 0 nothing can be made sure to arrive.",
    };
  if ("maxPayload" in link && maxPacket < link.maxPayload)
    return warn(
      name,
      `${detail}, messages up to ${maxPacket} bytes`,
      "Set cloud.maxPayload below that, with 1 KiB to spare.",
    );
  const { host, isTls } = brokerAddress(link.url);
  if (isTls && link.tls?.insecureSkipVerify === true)
    return warn(name, `${detail}; ANY CERTIFICATE IS TAKEN`, "Take tls.insecureSkipVerify out and give tls.ca.");
  if (!isTls && host !== "localhost" && !isLoopback(host) && (name === "cloud broker" || link.passwordFile))
    return warn(
      name,
      `${detail}; not encrypted on its way: others there read ${link.passwordFile ? "the password, and " : ""}who sends how much, and may answer for the broker`,
      "Use mqtts:// with the broker's authority in tls.ca.",
    );
  if (version === "3.1.1")
    return warn(
      name,
      detail,
      "With MQTT 5 the gateway says how much may be under way; here the broker does, mosquitto 20 messages: raise its max_inflight_messages.",
    );
  return ok(name, detail);
}

/** Certificates in use; a warning three weeks before the first of them ends. */
function certificates(name: Place, ends: CertificateEnds): Finding[] {
  const seen = (["broker", "client"] as const).flatMap((whose) => {
    const end = ends[whose];
    return end === null ? [] : [{ whose, end }];
  });
  if (seen.length === 0) return [];
  const now = Date.now();
  const detail = seen.map(({ whose, end }) => `${whose}'s ${endText(end, now)}`).join(", ");
  const label = `${name} certificates`;
  const isNear = seen.some(({ end }) => end - now < certificateNoticeMs);
  return [isNear ? warn(label, detail, "Renew it in time: no connection comes about afterwards.") : ok(label, detail)];
}

function refused(name: Place, subscriptions: readonly { topic: string }[], { granted, software }: Visit): Finding[] {
  if (subscriptions.length === 0) return [];
  const label = `${name} access`;
  if (granted === null)
    return [
      { name: label, level: "fail", detail: "the broker does not answer subscriptions", remedy: "Look at its log." },
    ];
  const denied = subscriptions.flatMap(({ topic }, i) => {
    const code = granted[i] ?? 128;
    return code >= 128 ? [`${topic} (${refusalReason(code)})`] : [];
  });
  if (denied.length > 0)
    return [
      {
        name: label,
        level: "fail",
        detail: `not granted: ${denied.join(", ")}`,
        remedy: "Allow this user to read these topics in the broker's access rules.",
      },
    ];
  // It grants every subscription and leaves out, without a word, what its acl_file does not allow to be read.
  const doubt = isMosquitto(software) ? "; mosquitto's acl_file may withhold messages all the same" : "";
  return [ok(label, `granted: ${subscriptions.map(({ topic }) => topic).join(", ")}${doubt}`)];
}

/** Whether what is sent while the gateway is away waits for it. */
function sessions(link: LinkConfig, { isSessionKept, software }: Visit): Finding {
  const name = "site session";
  if (link.sessionExpiry === 0)
    return warn(name, "sensors.sessionExpiry is 0: what is sent while the gateway is away is lost", "Set it to 7d.");
  if (!isSessionKept) return warn(name, "the broker does not remember clients that were away", brokenPromise);
  if (isMosquitto(software))
    return ok(
      name,
      "kept while the broker runs; how much it queues, and over a restart of its own, is in its file",
      `mosquitto.conf should have: ${mosquittoLines.join("; ")} (without them it drops all but 1000 messages, and all of them when it is killed)`,
    );
  return ok(name, "kept while the gateway is away");
}

const isMosquitto = (software: string | null): boolean => software?.startsWith("mosquitto") === true;

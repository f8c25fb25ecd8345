/**
 * Every topic that Tidegate speaks on. Ids match `[A-Za-z0-9_-]{1,64}`, so only the levels of a source have to be
 * rendered safe. No topic has more than 7 slashes besides those of a source that has several levels of its own.
 */

/** Tells whether a text may be an id of a fleet, gateway, stream, model or command. */
export const isId = (text: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(text);

/** A captured level as it may stand in a topic to publish to: wildcards and NUL are percent-encoded, slashes stay. */
export const renderLevels = (text: string): string =>
  text.replaceAll("+", "%2b").replaceAll("#", "%23").replaceAll("\0", "%00");

export type SiteTopics = {
  /** All of this gateway's own topics begin with it: they are never ingested. */
  readonly prefix: string;
  /** Retained, also the will: `{"state":"online"|"offline", …}`. */
  readonly status: string;
  /** @param source  the captured levels joined by "/"; empty when the pattern captures none */
  result(stream: string, source: string): string;
};

/** The topics of one gateway on its site's broker. */
export function siteTopics(gateway: string): SiteTopics {
  const prefix = `tidegate/${gateway}/`;
  return {
    prefix,
    status: `${prefix}status`,
    result: (stream, source) =>
      source === "" ? `${prefix}results/${stream}` : `${prefix}results/${stream}/${renderLevels(source)}`,
  };
}

/** Discovery of one device by Home Assistant (retained, JSON). */
export const homeAssistantDevice = (gateway: string, device: string): string =>
  `homeassistant/device/tidegate_${gateway}_${device.replace(/[^A-Za-z0-9_-]/g, "_")}/config`;

/** The topics of one gateway on the cloud broker: one line of access rules covers them (`subtree`). */
export type CloudTopics = {
  readonly prefix: string;
  readonly subtree: string;
  readonly status: string;
  readonly metrics: string;
  readonly twinDesired: string;
  readonly twinReported: string;
  command(id: string): string;
  /** Filter for every command to this gateway. */
  readonly commands: string;
  commandStatus(id: string): string;
  data(stream: string): string;
  /** What is erased: not divided among sinks, since each has files of its own. */
  erasure(stream: string): string;
  update(model: string, round: number | string): string;
  /** Asks the coordinator to be taken into the fleet. */
  readonly enrolment: string;
  receipt(what: string): string;
  /** Filter for every receipt to this gateway. */
  readonly receipts: string;
  ask(model: string): string;
  answer(id: string): string;
  /** Filter for every answer to this gateway. */
  readonly answers: string;
};

/** What the coordinator, the sinks and the workers of one fleet subscribe to, and publish to all gateways. */
export type FleetTopics = {
  readonly prefix: string;
  gateway(gateway: string): CloudTopics;
  /** Retained and signed: which version of a model is offered. */
  manifest(model: string): string;
  /** Chunk `n` (64 KiB, retained) of a model file. */
  blob(model: string, sha256: string, n: number): string;
  /** Retained and signed: the open round. */
  round(model: string): string;
  /** Retained and signed: the sink's current public data keys. */
  readonly dataKeys: string;
  /** Retained and signed: which coordinator leads the fleet. */
  readonly lease: string;
  /** What coordinators say to each other. */
  coordinator(what: string): string;
  /** Filters over all gateways. */
  readonly all: {
    readonly status: string;
    readonly metrics: string;
    readonly reported: string;
    readonly commandStatus: string;
    readonly data: string;
    readonly erasures: string;
    readonly updates: string;
    readonly enrolments: string;
    readonly asks: string;
  };
};

function cloudTopics(prefix: string): CloudTopics {
  return {
    prefix,
    subtree: `${prefix}#`,
    status: `${prefix}status`,
    metrics: `${prefix}metrics`,
    twinDesired: `${prefix}twin/desired`,
    twinReported: `${prefix}twin/reported`,
    command: (id) => `${prefix}cmd/${id}`,
    commands: `${prefix}cmd/+`,
    commandStatus: (id) => `${prefix}cmd/${id}/status`,
    data: (stream) => `${prefix}data/${stream}`,
    erasure: (stream) => `${prefix}erase/${stream}`,
    enrolment: `${prefix}enrolment`,
    update: (model, round) => `${prefix}updates/${model}/${round}`,
    receipt: (what) => `${prefix}receipts/${what}`,
    receipts: `${prefix}receipts/+`,
    ask: (model) => `${prefix}ask/${model}`,
    answer: (id) => `${prefix}answers/${id}`,
    answers: `${prefix}answers/+`,
  };
}

/** All topics of one fleet on the cloud broker. */
export function fleetTopics(fleet: string): FleetTopics {
  const prefix = `tidegate/v1/${fleet}/`;
  const each = `${prefix}gateways/+/`;
  return {
    prefix,
    gateway: (gateway) => cloudTopics(`${prefix}gateways/${gateway}/`),
    manifest: (model) => `${prefix}models/${model}/manifest`,
    blob: (model, sha256, n) => `${prefix}models/${model}/blob/${sha256}/${n}`,
    round: (model) => `${prefix}rounds/${model}`,
    dataKeys: `${prefix}keys/data`,
    lease: `${prefix}coordinator/lease`,
    coordinator: (what) => `${prefix}coordinator/${what}`,
    all: {
      status: `${each}status`,
      metrics: `${each}metrics`,
      reported: `${each}twin/reported`,
      commandStatus: `${each}cmd/+/status`,
      data: `${each}data/+`,
      erasures: `${each}erase/+`,
      updates: `${each}updates/+/+`,
      enrolments: `${each}enrolment`,
      asks: `${each}ask/+`,
    },
  };
}

/** A subscription that brokers divide among the clients of one group. */
export const shared = (group: string, filter: string): string => `$share/${group}/${filter}`;

/**
 * Takes apart a topic that a gateway published on the cloud broker: `gw-1` and `["data", "env"]` of
 * `tidegate/v1/demo/gateways/gw-1/data/env`; null when it is none of this fleet's.
 */
export function parseGatewayTopic(fleet: string, topic: string): { gateway: string; path: string[] } | null {
  const prefix = `tidegate/v1/${fleet}/gateways/`;
  if (!topic.startsWith(prefix)) return null;
  const [gateway, ...path] = topic.slice(prefix.length).split("/");
  return gateway !== undefined && isId(gateway) && path.length > 0 ? { gateway, path } : null;
}

/** Tells whether a text is a topic that may be published to. */
export const isTopic = (text: string): boolean =>
  text.length > 0 && text.length <= 16_383 && !text.includes("+") && !text.includes("#") && !text.includes("\0");

/** Tells whether a text is an MQTT filter: wildcards fill whole levels, `#` the last one. */
export function isFilter(text: string): boolean {
  const levels = text.split("/");
  return (
    text.length > 0 &&
    text.length <= 16_383 &&
    !text.includes("\0") &&
    levels.every((level, at) =>
      level.includes("#") ? level === "#" && at === levels.length - 1 : !level.includes("+") || level === "+",
    )
  );
}

/** Tells whether a topic matches an MQTT filter; `$`-topics are not matched by a leading wildcard. */
export function matchesFilter(filter: string, topic: string): boolean {
  const levels = filter.startsWith("$share/") ? filter.split("/").slice(2) : filter.split("/");
  const names = topic.split("/");
  if (topic.startsWith("$") && (levels[0] === "+" || levels[0] === "#")) return false;
  for (let at = 0; at < levels.length; at++) {
    const level = levels[at];
    if (level === "#") return true;
    if (at >= names.length || (level !== "+" && level !== names[at])) return false;
  }
  return levels.length === names.length;
}

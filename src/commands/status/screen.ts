import { renderBytes } from "../../base/units.ts";
import { since } from "../terminal/since.ts";
import type { DaemonStatus } from "./daemon-status.ts";

type Link = NonNullable<DaemonStatus["site"]>;
type Stream = DaemonStatus["streams"][string];

const number = new Intl.NumberFormat("en-US");
const n = (value: number): string => number.format(Math.round(value));
const label = (text: string): string => text.padEnd(9);

/**
 * The status as lines for a person.
 * @param before  an earlier status and its age in ms: rates are told when it is there
 * @param maxSources  sources of a stream that are shown, those in alarm first
 */
export function renderStatus(
  status: DaemonStatus,
  { before, maxSources }: { before?: { status: DaemonStatus; ageMs: number } | undefined; maxSources: number },
): string[] {
  const { health, site, cloud, models, modelProcess, streams, buffer, unanchored } = status;
  // Once the rest runs, a part that is still "starting" is one that this gateway does not have, such as a cloud.
  const isUp = health.status !== "starting";
  const unwell = Object.entries(health.parts).filter(
    ([, { state }]) => state !== "ok" && !(isUp && state === "starting"),
  );
  return [
    `${status.gateway}  ${health.status}, up ${since(health.uptimeMs)}, version ${status.version}, profile ${status.profile}`,
    ...unwell.map(([name, { state, reason }]) => `  ! ${name}: ${state}${reason === undefined ? "" : `, ${reason}`}`),
    ...(unanchored ? [`  ! nothing from afar is taken: ${unanchored}; see \`tidegate audit anchor\``] : []),
    `${label("site")}${site ? renderLink(site) : "not connected yet"}`,
    ...(cloud ? [`${label("cloud")}${renderLink(cloud)}; ${renderOutbox(status)}`] : []),
    `${label("models")}${models.map((model) => renderModel(model, status)).join(", ") || "none"}${modelProcess.restarts > 0 ? `; process restarted ${modelProcess.restarts} times` : ""}`,
    `${label("journal")}${renderBytes(buffer.fileBytes + buffer.walBytes)}, ${n(status.commits)} commits, ${n(buffer.deadLetters)} dead letters`,
    ...Object.entries(streams).flatMap(([name, stream]) => {
      const earlier = before?.status.streams[name];
      const rate = earlier && before ? ((stream.readings - earlier.readings) * 1000) / before.ageMs : null;
      return ["", ...renderStream(name, stream, status, rate, maxSources)];
    }),
  ];
}

function renderLink(link: Link): string {
  const { url, isOnline, protocol, held, window, lastEnd, sessionsLost, refusedFilters, isUnverified } = link;
  const state = isOnline
    ? `online (MQTT ${protocol}), ${held} of ${window} acknowledgements held`
    : `offline: ${lastEnd || "connecting"}`;
  const lost = sessionsLost > 0 ? `; ${sessionsLost} sessions lost` : "";
  const refused = refusedFilters.map(({ topic, reason }) => `; ${topic} refused: ${reason}`).join("");
  const unverified = isUnverified ? "; ANY CERTIFICATE IS TAKEN (tls.insecureSkipVerify)" : "";
  return `${url} ${state}${unverified}${lost}${refused}`;
}

function renderOutbox({ buffer, uplink }: DaemonStatus): string {
  const { messages, oldestAgeSeconds } = buffer.outbox;
  if (messages === 0) return "nothing owed";
  const waits = uplink?.waitsFor
    ? `, waits for ${uplink.waitsFor === "key" ? "the sink's key" : `a ${uplink.waitsFor}`}`
    : "";
  return `${n(messages)} results owed, oldest ${since(oldestAgeSeconds * 1000)}${waits}`;
}

function renderModel({ name, version, fault }: DaemonStatus["models"][number], { releases }: DaemonStatus): string {
  const offered = releases[name];
  const isNews = offered && offered.state !== "active" && offered.state !== "not-mine";
  const news = isNews ? `version ${offered.version} is ${offered.state}${offered.reason && `: ${offered.reason}`}` : "";
  const said = fault === undefined ? news : `a newer one is refused: ${fault}`;
  return `${name} ${version}${said && ` (${said})`}`;
}

function renderStream(name: string, stream: Stream, { buffer }: DaemonStatus, rate: number | null, maxSources: number) {
  const stored = buffer.streams[name];
  const lost = Object.entries({ ...stream.dropped, ...stored?.dropped, refused: stream.refused, shed: stream.shed })
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${n(count)}`);
  const rank = { alarm: 0, unknown: 1, normal: 2 } as const;
  const sources = stream.sources.toSorted(
    (a, b) => (a.verdict ? rank[a.verdict] : 3) - (b.verdict ? rank[b.verdict] : 3),
  );
  const width = Math.max(8, ...sources.slice(0, maxSources).map(({ source }) => source.length));
  return [
    `${name}  ${stream.topic}${stream.model === null ? "" : ` -> ${stream.model}`}`,
    `  ${n(stream.readings)} readings${rate === null ? "" : ` (${rate < 10 ? rate.toFixed(1) : n(rate)}/s)`}, ${n(stream.inferences)} inferences, ${n(stream.published)} results published, ${n(stream.dead)} dead letters${stream.behind > 0 ? `; ${n(stream.behind)} readings of before are being judged` : ""}`,
    `  ${n(stored?.readings ?? 0)} stored in ${renderBytes(stored?.bytes ?? 0)}${lost.length === 0 ? "" : `; left out: ${lost.join(", ")}`}`,
    ...sources
      .slice(0, maxSources)
      .map(({ source, verdict, window }) =>
        `  ${(source || "-").padEnd(width)}  ${(verdict ?? "").padEnd(8)}${window === null ? "" : `window ${window}`}`.trimEnd(),
      ),
    ...(sources.length > maxSources ? [`  … and ${n(sources.length - maxSources)} more`] : []),
  ];
}

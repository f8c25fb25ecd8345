import { wrap } from "../terminal/wrap.ts";
import type { ReadingSteps, Steps } from "./trial.ts";

const shownPayload = 120;
const label = (text: string): string => `    ${text.padEnd(9)} `;

/** Every step of one message, as lines for a person. */
export function renderSteps(topic: string, payload: Uint8Array, all: readonly Steps[]): string[] {
  const text = Buffer.from(payload.subarray(0, shownPayload + 1))
    .toString("utf8")
    .replace(/\s+/g, " ");
  const shown = text.length > shownPayload ? `${text.slice(0, shownPayload)}…` : text;
  return [`${topic}  ${shown}`, ...(all.length === 0 ? ["  no stream takes this topic"] : all.flatMap(renderStream))];
}

function renderStream({ stream, readings, dead, dropped, window, results, verdict, published }: Steps): string[] {
  if (dead)
    return [
      `  ${stream}`,
      ...wrap(`${dead.code}: ${dead.reason}`, 90).map((line, i) => `${label(i === 0 ? "dead" : "")}${line}`),
    ];
  const left = Object.entries(dropped).map(([reason, count]) => `${reason} ${count}`);
  return [
    ...(readings.length === 0 ? [`  ${stream}`, `${label("decoded")}nothing: the payload has none of the fields`] : []),
    ...readings.flatMap((reading) => renderReading(stream, reading)),
    ...(left.length === 0 ? [] : [`${label("left out")}${left.join(", ")}`]),
    ...(window === undefined ? [] : [`${label("window")}${window}`]),
    ...results.map(({ model, outputs }) => `${label("outputs")}${renderOutputs(outputs)}   (${model})`),
    ...(results.length === 0
      ? []
      : [`${label("verdict")}${verdict ?? "none"}${published > 0 ? ", published" : ", not published"}`]),
  ];
}

function renderReading(stream: string, { source, ts, fields, cleaned }: ReadingSteps): string[] {
  const time = Number.isFinite(ts) && Math.abs(ts) <= 8.64e15 ? new Date(ts).toISOString() : String(ts);
  return [
    `  ${stream}  ${source || "(one source)"}  ${time}`,
    `${label("decoded")}${renderValues(fields)}`,
    ...(cleaned === undefined ? [] : [`${label("cleaned")}${cleaned === null ? "left out" : renderValues(cleaned)}`]),
  ];
}

const renderNumber = (value: number | null): string =>
  value === null ? "missing" : String(Number(value.toPrecision(6)));

const renderValues = (values: Readonly<Record<string, number | null>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${renderNumber(value)}`)
    .join(", ") || "the payload as it is";

const renderOutputs = (outputs: Steps["results"][number]["outputs"]): string =>
  Object.entries(outputs)
    .map(([name, value]) => `${name} ${[value].flat().slice(0, 8).map(renderNumber).join(" ")}`)
    .join(", ");

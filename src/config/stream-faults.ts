import type { StreamConfig } from "./config.ts";
import { type FaultWords, unknown } from "./fault.ts";
import type { Path } from "./walk.ts";

export type StreamFault = FaultWords & { readonly path: Path };

/** Keys that only some codecs have a use for. */
const codecOf: { readonly [K in "records" | "columns" | "delimiter"]: readonly string[] } = {
  records: ["json", "cbor"],
  columns: ["csv"],
  delimiter: ["csv"],
};

/** What no single key of a stream can tell; paths count from the stream. */
export function streamFaults(stream: StreamConfig): StreamFault[] {
  return [...topicFaults(stream), ...codecFaults(stream), ...fieldFaults(stream), ...windowFaults(stream)];
}

/** What a fleet learns comes from streams. @param written  the whole configuration */
export function federationFaults({ federation, streams }: Readonly<Record<string, unknown>>): StreamFault[] {
  const { models } = (federation ?? {}) as { models?: unknown };
  const known = Object.values((streams ?? {}) as Record<string, { model?: unknown } | null>).map((each) => each?.model);
  return (Array.isArray(models) ? models : []).flatMap((model: unknown, i) =>
    known.includes(model) ? [] : [{ path: ["federation", "models", i], message: `no stream runs the model ${model}` }],
  );
}

/** A label topic is another stream that has the field. @param streams  as they are written */
export function labelFaults({ labels }: StreamConfig, streams: Readonly<Record<string, unknown>>): StreamFault[] {
  if (!labels) return [];
  const said = streams[labels.stream] as { fields?: object } | undefined;
  if (!said) return [{ path: ["labels", "stream"], ...unknown("stream", labels.stream, Object.keys(streams)) }];
  const fields = Object.keys(said.fields ?? {});
  if (fields.includes(labels.field)) return [];
  return [{ path: ["labels", "field"], ...unknown("field", labels.field, fields) }];
}

function topicFaults({ topic }: StreamConfig): StreamFault[] {
  const levels = topic.split("/");
  const names = levels.flatMap((level) => /^\{([A-Za-z0-9_-]{1,64})(?:\.\.\.)?\}$/.exec(level)?.[1] ?? []);
  const faults = levels
    .filter((level) => /[{}+#\0]/.test(level) && !/^\{[A-Za-z0-9_-]{1,64}(\.\.\.)?\}$/.test(level))
    .map((level) =>
      level === "+" || level === "#"
        ? `"${level}" is no capture: write {name} for one level, {name...} for several`
        : `"${level}" is neither plain text nor {name} nor {name...}`,
    );
  if (new Set(names).size < names.length) faults.push("a name is captured twice");
  if (levels.filter((level) => level.endsWith("...}")).length > 1) faults.push("only one {name...} can be there");
  return faults.map((message) => ({ path: ["topic"], message }));
}

function codecFaults(stream: StreamConfig): StreamFault[] {
  const faults: StreamFault[] = [];
  for (const [key, codecs] of Object.entries(codecOf) as [keyof typeof codecOf, readonly string[]][]) {
    if (stream[key] === undefined || codecs.includes(stream.codec)) continue;
    faults.push({
      path: [key],
      isKey: true,
      message: `${key} is for codec ${codecs.join(" and ")}, not ${stream.codec}`,
    });
  }
  return faults;
}

/** Fields are there in the order in which they are made: those of the payload, then each step's result. */
function fieldFaults(stream: StreamConfig): StreamFault[] {
  const faults: StreamFault[] = [];
  const known = Object.keys(stream.fields);
  for (const [i, { field, op, by, over, as }] of stream.transform.entries()) {
    const step = ["transform", i];
    if (!known.includes(field)) faults.push({ path: [...step, "field"], ...unknown("field", field, known) });
    const isLinear = op === "scale" || op === "offset";
    const isRolling = op === "mean" || op === "std" || op === "min" || op === "max";
    if (isLinear !== (by !== undefined))
      faults.push({ path: [...step, isLinear ? "op" : "by"], message: `${op} ${isLinear ? "needs" : "takes no"} by` });
    if (isRolling !== (over !== undefined))
      faults.push({
        path: [...step, isRolling ? "op" : "over"],
        message: `${op} ${isRolling ? "needs" : "takes no"} over`,
      });
    if (as !== undefined) known.push(as);
  }
  for (const [field, [low, high]] of Object.entries(stream.clean.range)) {
    const path = ["clean", "range", field];
    if (!Object.hasOwn(stream.fields, field))
      faults.push({ path, isKey: true, ...unknown("field", field, Object.keys(stream.fields)) });
    if (low > high) faults.push({ path, message: `the lowest value ${low} is above the highest ${high}` });
  }
  if (stream.model !== undefined && known.length === 0)
    faults.push({ path: ["fields"], message: "a stream with a model needs fields" });
  return faults;
}

function windowFaults({ every, window }: StreamConfig): StreamFault[] {
  if (window === undefined || every === undefined || window.maxGap >= every) return [];
  const message = "is shorter than every: each reading would start the window anew";
  return [{ path: ["window", "maxGap"], message }];
}

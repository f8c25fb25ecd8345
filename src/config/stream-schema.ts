import * as z from "zod";
import { expecting, listOf, mapOf, section, sectionOr } from "./option.ts";
import {
  bytes,
  decimal,
  duration,
  enumeration,
  flag,
  formed,
  id,
  integer,
  type Parsed,
  text,
} from "./option-values.ts";

const name = (what: string) => z.string({ error: `expected ${what}` }).min(1, `expected ${what}`);
const number = z.number(expecting("a number"));
const interval = (doc: string) =>
  mapOf(z.tuple([number, number], { error: "expected two numbers: [lowest, highest]" }), {
    doc,
    default: {},
    example: { temperature: [-40, 125] },
    remote: true,
  });

const fieldSource = sectionOr(
  {
    path: text({ doc: "Where the number is in the payload: `a.b[0].c`.", required: true }),
    unit: text({
      doc: "Unit of the number, as model cards write it. A fleet learns together only from what is measured alike.",
      example: "°C",
      max: 32,
    }),
    map: mapOf(number, { doc: "What texts stand for: `{ON: 1, OFF: 0}`.", name: /^.{1,64}$/, nameForm: ".{1,64}" }),
  },
  { doc: "Where a field's number is.", required: true, short: "the path alone", key: "path" },
);

const timestamp = sectionOr(
  {
    path: text({ doc: "Where the time is in the payload.", required: true, example: "ts" }),
    unit: enumeration(["ms", "s", "iso8601", "auto"], { doc: "Unit of the time.", default: "auto" }),
  },
  {
    doc: "The sensor's own time. Absent: the time of arrival.",
    short: "the path alone",
    key: "path",
    example: { path: "ts", unit: "auto" },
  },
);

const clean = section(
  {
    range: interval("Lowest and highest value by field; what is outside counts as missing."),
    missing: enumeration(["drop", "hold", "linear"], {
      doc: "A missing value: leave the reading out of windows, repeat the last value, or draw a line to the next.",
      default: "hold",
      remote: true,
    }),
    missingLimit: duration({ doc: "Longest gap that is held or drawn over.", default: "60s", remote: true }),
    duplicates: enumeration(["keep", "drop"], {
      doc: "A reading with the time and the values of the one before it.",
      default: "drop",
      remote: true,
    }),
    outliers: enumeration(["none", "drop", "hold"], {
      doc: "What is done with outliers by Hampel's rule: nothing, treat as missing, or repeat the median.",
      default: "none",
      remote: true,
    }),
    hampel: section(
      {
        window: integer({ doc: "Readings that the median is taken of.", default: 7, min: 3, max: 63 }),
        sigmas: decimal({
          doc: "Scaled deviations from the median that make an outlier.",
          default: 3,
          min: 0.5,
          max: 100,
        }),
      },
      { doc: "Hampel's rule.", default: {} },
    ),
  },
  { doc: "What is done about bad values before they reach a window.", default: {} },
);

const transform = listOf(
  section(
    {
      field: id({ doc: "Field that it is computed from.", required: true }),
      op: enumeration(["scale", "offset", "difference", "rate", "log", "mean", "std", "min", "max"], {
        doc: "scale, offset: by `by`; difference: from the reading before; rate: per second; log: natural, of 1 + x; mean, std, min, max: of the last `over` readings.",
        required: true,
      }),
      by: decimal({ doc: "Factor or summand of scale and offset." }),
      over: integer({ doc: "Readings of the rolling mean, std, min and max.", min: 2, max: 1024 }),
      as: id({ doc: "Name of the result; absent: it takes the field's place." }),
    },
    { doc: "One step.", required: true },
  ),
  {
    doc: "Steps that compute fields from fields, in order.",
    default: [],
    max: 64,
    example: [{ field: "temperature", op: "mean", over: 8, as: "calm" }],
  },
);

const window = section(
  {
    size: integer({ doc: "Readings in a window.", required: true, example: 16, min: 1, max: 65_536 }),
    hop: integer({ doc: "Readings from one window to the next.", default: 1, min: 1, max: 65_536 }),
    maxGap: duration({ doc: "A longer pause between two readings starts the window anew.", default: "10m" }),
  },
  { doc: "What a time-series model sees. Absent: as the model's card says." },
);

const alarm = section(
  {
    onAfter: integer({
      doc: "Alarming windows in a row that raise the alarm.",
      default: 1,
      min: 1,
      max: 10_000,
      remote: true,
    }),
    offAfter: integer({ doc: "Normal windows in a row that end it.", default: 3, min: 1, max: 10_000, remote: true }),
    silentAfter: duration({
      doc: "A source that sends nothing for so long is `unknown`; 0s: never.",
      default: "10m",
      remote: true,
    }),
  },
  { doc: "Hysteresis of the verdict.", default: {} },
);

const publish = section(
  {
    when: enumeration(["all", "change", "alarm"], {
      doc: "Which results are published.",
      default: "all",
      remote: true,
    }),
    minInterval: duration({
      doc: "Shortest time between two results of a source; a new alarm never waits.",
      default: "0s",
      remote: true,
    }),
    retain: flag({ doc: "The broker keeps the last result of each source.", default: true }),
  },
  { doc: "Publishing on the site's broker.", default: {} },
);

const between0And1 = "expected a number from 0 to 1";

const aggregate = section(
  {
    every: duration({ doc: "Length of a window of time.", default: "60s", min: "1s", max: "7d", remote: true }),
    quantiles: listOf(z.number({ error: between0And1 }).min(0, between0And1).max(1, between0And1), {
      doc: "Quantiles beside count, min, max, mean and std.",
      default: [0.5, 0.95],
      max: 16,
    }),
  },
  { doc: "What `uplink: aggregates` sends.", default: {} },
);

const keep = section(
  {
    maxBytes: bytes({ doc: "Most that the stream may take on the disk.", default: "1GiB", min: "64KiB", remote: true }),
    maxAge: duration({ doc: "Older readings are removed.", default: "30d", min: "1m", remote: true }),
    priority: integer({
      doc: "When room is short, lower priorities go first.",
      default: 5,
      min: 0,
      max: 9,
      remote: true,
    }),
  },
  { doc: "How long readings are kept.", default: {} },
);

const labels = section(
  {
    stream: id({ doc: "Stream that says it.", required: true, example: "env" }),
    field: id({ doc: "Its field that is the label or the number.", required: true, example: "humidity" }),
    within: duration({
      doc: "Longest time between what is said and the newest reading of a window.",
      default: "1m",
    }),
  },
  {
    doc: "Label topic: what the model should have said, told by another stream for the source of the same name, or for all by a source without a name. For training, where the card's target is `label` and no field of the readings holds it.",
  },
);

const qosWords = { doc: "Quality of service.", default: 1 } as const;
const noQos2 = "2 cannot be had: the client library confirms it before anything is on disk; 1 loses nothing";

function parseQos(written: unknown): Parsed<0 | 1> {
  const value = Number(written);
  if (value === 0 || value === 1) return { value };
  return { fault: value === 2 ? noQos2 : "expected 0 or 1" };
}

/** One stream: what it takes from the broker and what becomes of it. */
export const streamSchema = section(
  {
    topic: text({
      doc: "Topic pattern: `{name}` captures one level, `{name...}` several; what they capture is the source.",
      required: true,
      sample: "motes/{mote}/env",
    }),
    exclude: listOf(name("a topic filter"), {
      doc: "Topics (MQTT filters) that are not taken.",
      default: [],
      example: ["motes/test/#"],
      max: 256,
    }),
    retained: enumeration(["ignore", "first"], {
      doc: "Retained messages, which brokers repeat at every reconnect.",
      default: "ignore",
    }),
    qos: formed<0 | 1, typeof qosWords>(qosWords, { type: "0 or 1", json: { enum: [0, 1] } }, parseQos),
    codec: enumeration(["json", "cbor", "csv", "float32", "text"], {
      doc: "Form of the payload.",
      default: "json",
      sample: "json",
    }),
    fields: mapOf(fieldSource, {
      doc: "Numbers to take from the payload, by name.",
      default: {},
      sample: { temperature: "temperature", humidity: "humidity" },
    }),
    timestamp,
    records: text({ doc: "json, cbor: path of the array of readings in the payload.", example: "data.readings" }),
    numericStrings: flag({ doc: 'json, cbor: takes "21.5" for 21.5.', default: false }),
    columns: listOf(name("a column's name"), {
      doc: "csv: names of the columns when there is no header line.",
      example: ["ts", "temperature"],
      max: 1024,
    }),
    delimiter: text({ doc: "csv: character between columns; absent: a comma.", example: ";", max: 1 }),
    endian: enumeration(["little", "big"], { doc: "float32: order of bytes.", default: "little" }),
    maxPayload: bytes({ doc: "Larger payloads become dead letters.", default: "1MiB", min: "1KiB", max: "64MiB" }),
    maxSources: integer({ doc: "Most sources of this stream.", default: 1024, min: 1, max: 100_000 }),
    clean,
    transform,
    every: duration({ doc: "Resamples irregular sources to this grid.", example: "5s", min: "1ms", max: "1d" }),
    window,
    normalize: enumeration(["model", "zscore", "minmax", "none"], {
      doc: "Who scales: the model's graph, running statistics, or nobody.",
      default: "model",
    }),
    model: id({ doc: "Model that each window goes to. Absent: the stream is stored.", example: "mote-anomaly" }),
    labels,
    alarm,
    publish,
    uplink: enumeration(["none", "results", "aggregates", "raw"], {
      doc: "What goes to the cloud: from afar no more than the policy lets out.",
      default: "none",
      remote: true,
    }),
    aggregate,
    keep,
  },
  { doc: "A stream.", required: true },
);

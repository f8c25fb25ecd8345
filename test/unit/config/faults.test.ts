import { describe, expect, it } from "vitest";
import { faultsOf as all, base } from "./written.ts";

const stream = (rest: string) => `${base}streams:\n  env: { topic: a, fields: { t: t, h: h }, ${rest} }\n`;
const messages = (text: string, rest = {}) => all(text, rest).map(({ path, message }) => `${path}: ${message}`);

describe("faults of a configuration", () => {
  it("are listed at once in the order of the file, with line, column and the nearest key", () => {
    const found = all(`${base}streams:
  env:
    topci: "a/b"
    qos: 2
    window: { size: many }
  low:
    topic: a
    transform: [{ field: t, op: scale }]
bufer: {}
`);
    expect(found.map(({ path, line, column, nearest }) => [path, line, column, nearest])).toEqual([
      ["streams.env.topic", 5, 5, undefined],
      ["streams.env.topci", 5, 5, "topic"],
      ["streams.env.qos", 6, 10, undefined],
      ["streams.env.window.size", 7, 21, undefined],
      ["streams.low.transform[0].field", 10, 26, undefined],
      ["streams.low.transform[0].op", 10, 33, undefined],
      ["bufer", 11, 1, "buffer"],
    ]);
  });

  it("name what a lack or a wrong kind of value is", () => {
    expect(messages("gateway: { id: gw-1 }\n")).toEqual(["sensors: is missing: expected keys and values"]);
    expect(messages(stream("qos: 2"))[0]).toMatch(/confirms it before/);
    expect(messages(`${base}buffer: 5`)).toEqual(["buffer: expected keys and values, got 5"]);
    expect(messages(`${base}buffer: { commitMaxDelay: 5 }`)).toEqual([
      "buffer.commitMaxDelay: 5 needs a unit, such as 5s",
    ]);
    expect(messages(`${base}buffer: { maxBytes: lots }`)).toEqual([
      'buffer.maxBytes: expected a size such as 120KiB or 2GiB, got "lots"',
    ]);
    expect(messages(`${base}buffer: { commitMaxDelay: 2h }`)).toEqual([
      "buffer.commitMaxDelay: 2h is out of range: 0s to 60s",
    ]);
    expect(messages(`${base}training: { schedule: "0 25 * * *" }`)[0]).toMatch(/expected a schedule/);
    expect(messages(stream("exclude: a"))).toEqual(['streams.env.exclude: expected a list, got "a"']);
    expect(messages(stream("clean: { range: { t: 5 } }"))[0]).toMatch(/expected two numbers/);
    expect(messages(stream("aggregate: { quantiles: [2] }"))).toEqual([
      "streams.env.aggregate.quantiles[0]: expected a number from 0 to 1",
    ]);
    expect(messages(`${base}streams: { "a b": { topic: a } }`)).toEqual([
      "streams.a b: must match [A-Za-z0-9_-]{1,64}",
    ]);
  });

  it("tell apart what the file, the environment and the command line said", () => {
    const text = `${base}buffer: { maxBytes: 3GiB }\n`;
    expect(all(text, { env: { TIDEGATE_BUFFER__MAXBYTES: "lots" } })).toEqual([
      {
        path: "buffer.maxBytes",
        message: 'expected a size such as 120KiB or 2GiB, got "lots" (set by TIDEGATE_BUFFER__MAXBYTES)',
      },
    ]);
    expect(messages(text, { flags: { "models.threads": 0 } })).toEqual([
      "models.threads: 0 is out of range: 1 to 64 (set by the command line)",
    ]);
  });

  it("name an environment variable that stands for no key", () => {
    expect(all(base, { env: { TIDEGATE_BUFFER__MAXBYTE: "1", TIDEGATE_BUFFER__MAXBYTES__X: "1" } })).toMatchObject([
      { path: "TIDEGATE_BUFFER__MAXBYTE", nearest: "maxBytes" },
      { path: "TIDEGATE_BUFFER__MAXBYTES__X" },
    ]);
  });

  it("name an unknown profile beside everything else", () => {
    expect(all(base.replace("generic-x64", "raspbery-pi-4").replace("url", "urll"))).toMatchObject([
      { path: "gateway.profile", line: 1, column: 31, nearest: "raspberry-pi-4" },
      { path: "sensors.url", line: 2, column: 10 },
      { path: "sensors.urll", line: 2, column: 12, nearest: "url" },
    ]);
  });

  it("keep passwords out of URLs, and out of the message", () => {
    const found = messages(base.replace("mqtt://", "mqtt://me:secret@"));
    expect(found[0]).toMatch(/passwordFile/);
    expect(found.join()).not.toContain("secret");
  });

  it("look at a stream's keys together", () => {
    expect(messages(stream("model: m").replace("{ t: t, h: h }", "{}"))).toEqual([
      "streams.env.fields: a stream with a model needs fields",
    ]);
    expect(messages(stream("transform: [{ field: t, op: mean }, { field: x, op: log, by: 2 }]"))).toEqual([
      "streams.env.transform[0].op: mean needs over",
      "streams.env.transform[1].field: unknown field; did you mean t?",
      "streams.env.transform[1].by: log takes no by",
    ]);
    expect(messages(stream("transform: [{ field: t, op: log, as: u }, { field: u, op: rate }]"))).toEqual([]);
    expect(messages(stream("clean: { range: { t: [5, 1], hh: [0, 1] } }"))).toEqual([
      "streams.env.clean.range.t: the lowest value 5 is above the highest 1",
      "streams.env.clean.range.hh: unknown field; did you mean h?",
    ]);
    expect(messages(stream("columns: [t, h]"))).toEqual(["streams.env.columns: columns is for codec csv, not json"]);
    expect(messages(stream("every: 1h, window: { size: 4, maxGap: 1m }"))[0]).toMatch(/shorter than every/);
  });

  it.each(["a/+/b", "a/#", "a/{b}c", "{a}/{a}", "{a...}/{b...}"])("refuse the topic %s", (topic) => {
    expect(all(`${base}streams: { env: { topic: "${topic}" } }`)[0]).toMatchObject({
      path: "streams.env.topic",
      line: 3,
    });
  });

  it.each([
    ["an open bracket", "version: 1\nsensors: { url: [\n", 2],
    ["a key twice", "a: 1\na: 2\n", 2],
    ["an anchor that is not there", "a: *b\n", 1],
    ["a list for a map", "- 1\n", 1],
    ["a name that is none", `${base}streams: { __proto__: { topic: a } }\n`, 3],
    ["a map for a key", "a: 1\n? { b: 1 }\n: 2\n", 2],
    ["no end of brackets", `a: ${"[".repeat(20_000)}`, 1],
  ])("of YAML itself have a place: %s", (_, text, line) => {
    expect(all(text)[0]?.line).toBeGreaterThanOrEqual(line);
  });
});

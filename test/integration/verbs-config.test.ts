import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { jsonOf, type Ran, Site, shell, tidegate } from "./verbs-fixture.ts";

type Failed = { error: { code: string; message: string; faults: { path: string; line?: number; message: string }[] } };

let site: Site;
beforeEach(() => {
  site = new Site();
});
afterEach(() => site.remove());

const withVariable = (variable: string, value: string, ...words: string[]): Promise<Ran> =>
  shell('exec sh "$0" "$@"', [...words, "--config", site.file], { [variable]: value });

describe("tidegate config get", () => {
  it("prints a value as one would write it", async () => {
    expect((await site.run("config", "get", "buffer.maxBytes")).out).toBe("2GiB\n");
    expect((await site.run("config", "get", "sensors.keepalive")).out).toBe("30s\n");
  });

  it("tells where each value comes from", async () => {
    const words = ["config", "get", "buffer", "--origin"];
    const { out } = await withVariable("TIDEGATE_BUFFER__MAXBYTES", "3MiB", ...words);
    expect(out).toMatch(/^buffer.maxBytes: 3MiB +# environment$/m);
    expect(out).toMatch(/^buffer.minFree: 0% +# file$/m);
    expect(out).toMatch(/^buffer.commitMaxDelay: 200ms +# profile$/m);
    expect(out).toMatch(/^buffer.onFull: shed +# default$/m);
    const json = jsonOf<Record<string, unknown>>(await site.run(...words, "--json"));
    expect(json["buffer.minFree"]).toEqual({ value: "0%", origin: "file" });
  });

  it("prints a configuration that says the same when it is loaded again", async () => {
    const first = await site.run("config", "get", "--json");
    const copy = join(site.dir, "copy.json");
    writeFileSync(copy, first.out);
    expect(jsonOf(await tidegate("config", "get", "--json", "--config", copy))).toEqual(jsonOf(first));
    expect((await site.run("config", "diff", copy)).code).toBe(0);
  });

  it("names the key that was most likely meant", async () => {
    const ran = await site.run("config", "get", "bufer.maxBytes");
    expect(ran.code).toBe(64);
    expect(ran.err).toContain("did you mean buffer.maxBytes?");
  });

  it("says what to do when there is no configuration", async () => {
    const ran = await tidegate("config", "get", "--config", join(site.dir, "none.yaml"));
    expect(ran.code).toBe(78);
    expect(ran.err).toContain("tidegate init");
  });
});

describe("tidegate config set", () => {
  const text = [
    "# a comment",
    "version: 1",
    "sensors: { url: mqtt://127.0.0.1 } # the broker",
    "streams:",
    "  env: { topic: a, fields: { t: t }, timestamp: ts }",
    "",
  ].join("\n");
  beforeEach(() => writeFileSync(site.file, text));

  it("changes one value, keeps comments, owner and mode, and says what was there", async () => {
    chmodSync(site.file, 0o640);
    const ran = await site.run("config", "set", "buffer.maxBytes", "64MiB", "--json");
    expect(jsonOf(ran)).toMatchObject({ path: "buffer.maxBytes", from: null, to: "64MiB", overriddenBy: null });
    expect(readFileSync(site.file, "utf8")).toBe(`${text}buffer:\n  maxBytes: 64MiB\n`);
    expect(statSync(site.file).mode & 0o777).toBe(0o640);
  });

  it("writes numbers, flags and lists as such, and opens short forms", async () => {
    await site.run("config", "set", "streams.env.qos", "0");
    await site.run("config", "set", "streams.env.exclude", "[a/b, c]");
    await site.run("config", "set", "streams.env.timestamp.unit", "ms");
    const stream = jsonOf<Record<string, unknown>>(await site.run("config", "get", "streams.env", "--json"));
    expect(stream).toMatchObject({ qos: 0, exclude: ["a/b", "c"], timestamp: { path: "ts", unit: "ms" } });
  });

  it("refuses a value with faults and leaves the file as it is", async () => {
    const ran = await site.run("config", "set", "buffer.maxBytes", "lots", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<Failed>(ran).error.faults[0]).toMatchObject({ path: "buffer.maxBytes" });
    expect((await site.run("config", "set", "buffer.maxByte", "1MiB")).err).toContain("did you mean maxBytes?");
    expect(readFileSync(site.file, "utf8")).toBe(text);
  });

  it("says when the environment has the last word", async () => {
    const words = ["config", "set", "buffer.maxBytes", "64MiB"];
    const ran = await withVariable("TIDEGATE_BUFFER__MAXBYTES", "3MiB", ...words);
    expect(ran.code).toBe(0);
    expect(ran.err).toContain("environment gives buffer.maxBytes another value");
  });
});

describe("tidegate config set and the models", () => {
  const stream = { topic: "a/{b}", fields: { humidity: "h", temperature: "t" } };

  it("refuses what contradicts a model, as validate would, and leaves the file as it is", async () => {
    site.configure({ streams: { one: { ...stream, model: "mote-anomaly" } } });
    const before = readFileSync(site.file, "utf8");
    const ran = await site.run("config", "set", "streams.one.model", "mote-anomly", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<Failed>(ran).error.faults[0]).toMatchObject({ path: "streams.one.model" });
    expect((await site.run("config", "set", "streams.one.window", "{ size: 3 }")).code).toBe(78);
    expect((await site.run("config", "unset", "streams.one.fields.humidity")).code).toBe(78);
    expect(readFileSync(site.file, "utf8")).toBe(before);
  });

  it("changes something else though a model is not there: that fault was there before", async () => {
    site.configure({ streams: { one: { ...stream, model: "not-here-yet" } } });
    expect((await site.run("config", "set", "streams.one.qos", "0")).code).toBe(0);
  });
});

describe("tidegate config unset", () => {
  it("takes one key out, keeps comments, and says what is in force now", async () => {
    const text = [
      "version: 1",
      "sensors: { url: mqtt://127.0.0.1 } # the broker",
      "buffer:",
      "  maxBytes: 64MiB # small",
      "  # the rest as it comes",
      "  minFree: 5%",
      "streams:",
      "  env: { topic: a, fields: { t: t } }",
      "",
    ];
    writeFileSync(site.file, text.join("\n"));
    const ran = await site.run("config", "unset", "buffer.maxBytes", "--json");
    expect(jsonOf(ran)).toMatchObject({ from: "64MiB", inForce: { value: "2GiB" } });
    const without = text.filter((line) => !line.includes("maxBytes"));
    expect(readFileSync(site.file, "utf8")).toBe(without.join("\n"));
    const again = await site.run("config", "unset", "buffer.maxBytes");
    expect([again.code, again.out]).toEqual([0, expect.stringContaining("nothing to take out")]);
    await site.run("config", "unset", "buffer.minFree");
    expect(readFileSync(site.file, "utf8")).not.toContain("buffer");
  });

  it("refuses to take out what is needed", async () => {
    const ran = await site.run("config", "unset", "sensors.url", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<Failed>(ran).error.faults[0]?.path).toBe("sensors");
  });
});

describe("tidegate config validate, diff and schema", () => {
  it("lists every fault at once with its place (78)", async () => {
    writeFileSync(site.file, "version: 1\nsensors: { url: 5 }\nbufer: {}\n");
    const ran = await site.run("config", "validate", "--json");
    expect(ran.code).toBe(78);
    const { faults } = jsonOf<Failed>(ran).error;
    expect(faults.map(({ path, line }) => [path, line])).toEqual([
      ["sensors.url", 2],
      ["bufer", 3],
    ]);
    expect((await site.run("config", "validate")).err).toContain("line 3, column 1: bufer: unknown key; did you mean");
  });

  it("finds a model that is not there, and one that does not fit the stream", async () => {
    const stream = (model: string, fields: object) => ({ topic: "a/{b}", fields, model });
    site.configure({
      streams: {
        one: stream("mote-anomly", { humidity: "h", temperature: "t" }),
        two: stream("mote-anomaly", { humidity: "h", temprature: "t" }),
      },
    });
    const ran = await site.run("config", "validate", "--json");
    expect(ran.code).toBe(78);
    const { faults } = jsonOf<Failed>(ran).error;
    expect(faults.map(({ path }) => path)).toEqual(["streams.one.model", "streams.two.model"]);
    expect(faults[0]?.message).toContain("did you mean mote-anomaly?");
    expect(faults[1]?.message).toContain("no field temperature (is it temprature?)");
    expect(faults[1]?.line).toBeGreaterThan(faults[0]?.line ?? 0);
  });

  it("says that a sound file is sound", async () => {
    const ran = await site.run("config", "validate", "--json");
    expect(ran.code).toBe(0);
    expect(jsonOf(ran)).toMatchObject({ valid: true, streams: 1 });
  });

  it("tells what differs, and ends with 1 when something does", async () => {
    const other = new Site({ buffer: { minFree: "5%", maxBytes: "1GiB" } });
    const ran = await site.run("config", "diff", other.file, "--json");
    other.remove();
    expect(ran.code).toBe(1);
    const { differences } = jsonOf<{ differences: { path: string }[] }>(ran);
    expect(differences).toEqual(
      expect.arrayContaining([
        { path: "buffer.minFree", from: "0%", to: "5%" },
        { path: "buffer.maxBytes", from: "2GiB", to: "1GiB" },
      ]),
    );
    const { out, code } = await site.run("config", "diff");
    expect(code).toBe(1);
    expect(out).toContain('+ gateway.id: "gw-1"\n');
    expect(out).not.toContain("buffer.onFull");
  });

  it("prints a JSON Schema that knows the keys", async () => {
    const schema = jsonOf<{ properties: object }>(await tidegate("config", "schema", "--json"));
    expect(Object.keys(schema.properties)).toEqual(expect.arrayContaining(["sensors", "streams", "buffer"]));
  });
});

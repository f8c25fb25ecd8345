import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import * as z from "zod";
import { configJsonSchema } from "../../../src/config/json-schema.ts";
import { profileLayer } from "../../../src/config/layers.ts";
import { metaOf, type Shape } from "../../../src/config/option.ts";
import { readProfile } from "../../../src/config/profile.ts";
import { renderReference } from "../../../src/config/reference.ts";
import { renderSample } from "../../../src/config/sample.ts";
import { rootShape } from "../../../src/config/walk.ts";
import { faultsOf, load } from "./written.ts";

/** Every declared key with its path; names in maps are `*`. */
function declaredKeys(shape: Shape, at = ""): { path: string; key: string; doc: string; byProfile: boolean }[] {
  return Object.entries(shape).flatMap(([key, schema]) => {
    const meta = metaOf(schema);
    const path = at + key;
    const inner = meta?.shape ?? (meta?.entry && metaOf(meta.entry)?.shape) ?? (meta?.item && metaOf(meta.item)?.shape);
    const own = { path, key, doc: meta?.doc ?? "", byProfile: meta?.byProfile === true };
    return [own, ...(inner ? declaredKeys(inner, `${path}${meta?.entry ? ".*" : ""}.`) : [])];
  });
}

const keys = declaredKeys(rootShape);

describe("the declaration", () => {
  it("says of every key what it means", () => {
    expect(keys.length).toBeGreaterThan(90);
    expect(keys.filter(({ doc }) => !/^[A-Z`a-z].*[.!]$/.test(doc))).toEqual([]);
  });

  it("marks the keys that a device profile sets, and no other", () => {
    const layer = profileLayer(readProfile("generic-x64")) as Record<string, object>;
    const set = Object.entries(layer).flatMap(([section, tree]) => Object.keys(tree).map((key) => `${section}.${key}`));
    expect(
      keys
        .filter(({ byProfile }) => byProfile)
        .map(({ path }) => path)
        .toSorted(),
    ).toEqual(set.toSorted());
  });
});

describe("the sample file", () => {
  const sample = renderSample();
  const uncommented = sample.replaceAll(/^(\s*)#(?=[A-Za-z]+:)/gm, "$1");

  it("loads as it is", () => {
    const { config } = load(sample);
    expect(config.gateway.id).toBe("gw-1");
    expect(config.cloud).toBeUndefined();
    expect(Object.keys(config.streams.env?.fields ?? {})).toEqual(["temperature", "humidity"]);
  });

  it("loads with every key set to what it shows, but for keys of another codec", () => {
    expect(faultsOf(uncommented).map(({ path }) => path)).toEqual(["streams.env.columns", "streams.env.delimiter"]);
    const { config } = load(uncommented.replaceAll(/^ +(columns|delimiter):.*$/gm, ""));
    expect(config.cloud?.dataKey).toHaveLength(44);
    expect(config.streams.env?.window).toEqual({ size: 16, hop: 1, maxGap: 600_000 });
  });

  it("shows the defaults: setting them changes nothing", () => {
    const env = { TIDEGATE_GATEWAY__PROFILE: "generic-x64", TIDEGATE_MODELS__DIR: "/m" };
    const left = /^ +(columns|delimiter|threads|maxBatch|providers|commitMaxDelay|maxCelsius):.*$/gm;
    const bare = load(sample, { env }).config;
    const set = load(uncommented.replaceAll(left, ""), { env }).config;
    expect({ ...set, cloud: undefined }).toMatchObject({ ...bare, streams: {}, sensors: {} });
    for (const key of ["alarm", "publish", "aggregate", "keep", "maxPayload", "maxSources", "normalize"] as const)
      expect(set.streams.env?.[key]).toEqual(bare.streams.env?.[key]);
    expect(set.sensors).toMatchObject({ ...bare.sensors });
  });
});

describe("the JSON Schema", () => {
  const schema = z.fromJSONSchema(configJsonSchema() as never);
  const takes = (text: string): boolean => schema.safeParse(parse(text)).success;

  it("takes what loads", () => {
    expect(takes(renderSample())).toBe(true);
    expect(takes(renderSample().replaceAll(/^(\s*)#(?=[A-Za-z]+:)/gm, "$1"))).toBe(true);
    expect(takes("sensors: { url: mqtt://a }\ncloud:\nstreams: { a: { topic: a, timestamp: ts, qos: 0 } }")).toBe(true);
  });

  it.each([
    "gateway: { id: gw-1 }",
    "sensors: { ulr: mqtt://a }",
    "sensors: { url: mqtt://a }\nbufer: {}",
    "sensors: { url: mqtt://a }\nbuffer: { commitMaxDelay: 5 }",
    "sensors: { url: mqtt://a }\nbuffer: { maxBytes: lots }",
    "sensors: { url: mqtt://a }\nmodels: { threads: 0 }",
    "sensors: { url: mqtt://a }\nstreams: { a: { topic: a, qos: 2 } }",
    "sensors: { url: mqtt://a }\nstreams: { 'a b': { topic: a } }",
    "sensors: { url: mqtt://a }\nstreams: { a: { topic: a, transform: [{ op: log }] } }",
  ])("refuses what does not load: %s", (text) => {
    expect(takes(text)).toBe(false);
    expect(faultsOf(text)).not.toEqual([]);
  });
});

describe("the reference", () => {
  const lines = renderReference().split("\n");

  it("has every key in the table of its section, with its meaning", () => {
    const missing = keys.filter(({ path, key, doc }) => {
      const section = path.replaceAll(".*.", ".<name>.").split(".").slice(0, -1).join(".");
      const from =
        section === ""
          ? 0
          : lines.findIndex((line) => new RegExp(`^#+ \`${section.replaceAll(".", "\\.")}(\\[\\])?\`$`).test(line));
      const to = lines.findIndex((line, i) => i > from && line.startsWith("#"));
      const rows = from === -1 ? [] : lines.slice(from, to === -1 || section === "" ? undefined : to);
      const isSectionOfRoot = section === "" && rows.some((line) => line.startsWith(`## \`${key}`));
      return (
        !isSectionOfRoot && !rows.some((line) => line.startsWith(`| \`${key}\` |`) && line.includes(doc.slice(0, 30)))
      );
    });
    expect(missing).toEqual([]);
  });

  it("has every device profile", () => {
    expect(lines.filter((line) => /^\| `(generic|raspberry|jetson)/.test(line))).toHaveLength(7);
  });
});

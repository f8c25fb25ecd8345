import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import { TidegateError } from "../../src/base/errors.ts";
import type { Fault } from "../../src/config/fault.ts";
import { isTree, type Tree } from "../../src/config/layers.ts";
import { loadConfig } from "../../src/config/load.ts";
import { renderSample } from "../../src/config/sample.ts";
import { mapLeaves, type Path, renderPath } from "../../src/config/walk.ts";

// Every key of the sample but those of another codec, and a profile, so that no machine matters.
const full = parse(
  renderSample()
    .replaceAll(/^(\s*)#(?=[A-Za-z]+:)/gm, "$1")
    .replaceAll(/^ +(columns|delimiter):.*$/gm, "")
    .replace("profile: auto", "profile: generic-x64"),
) as Tree;
const baseDir = process.cwd();

const leaves: { path: Path; value: unknown }[] = [];
mapLeaves(full, (value, _, path) => {
  leaves.push({ path, value });
  return value;
});
const everyKey: Path[] = [];
const collect = (tree: Tree, at: Path): void => {
  for (const [key, value] of Object.entries(tree)) {
    everyKey.push([...at, key]);
    if (isTree(value)) collect(value, [...at, key]);
  }
};
collect(full, []);

const withValue = (tree: Tree, [key, ...rest]: Path, value: unknown): Tree => ({
  ...tree,
  [String(key)]: rest.length === 0 ? value : withValue(tree[String(key)] as Tree, rest, value),
});
const least = `gateway: { id: gw-1, profile: generic-x64 }\nsensors: { url: mqtt://a }\nstreams: { env: ${JSON.stringify(
  {
    topic: "a",
    fields: { temperature: "t", humidity: "h" },
  },
)} }\n`;

describe("any configuration", () => {
  it("of which each leaf is set by the environment is as if the file had set it", () => {
    expect(leaves.length).toBeGreaterThan(80);
    for (const { path, value } of leaves) {
      // The version is the file's own; a section that must be whole cannot be set key by key; a fleet learns only models
      // that streams run.
      if (/^(version$|cloud|federation\.models|streams\.env\.(window|timestamp|labels))/.test(renderPath(path)))
        continue;
      const name = `TIDEGATE_${path.join("__").toUpperCase()}`;
      const text = typeof value === "string" ? value : JSON.stringify(value);
      const byEnv = loadConfig({ text: least, baseDir, env: { [name]: text } });
      const tree = parse(least) as Tree;
      const parents = path.slice(0, -1).reduce((inner, _, i) => {
        const at = path.slice(0, i + 1);
        const there = at.reduce<unknown>((deep, key) => (isTree(deep) ? deep[String(key)] : undefined), inner);
        return isTree(there) ? inner : withValue(inner, at, {});
      }, tree);
      const byFile = loadConfig({ text: stringify(withValue(parents, path, value)), baseDir });
      expect(byEnv.config, name).toEqual(byFile.config);
      expect(byEnv.origins.get(renderPath(path)), name).toBe("environment");
    }
  });

  it("with one value replaced by anything loads, or names that place", () => {
    fc.assert(
      fc.property(fc.constantFrom(...everyKey), fc.jsonValue({ maxDepth: 3 }), (path, value) => {
        const text = stringify(withValue(full, path, value));
        try {
          loadConfig({ text, baseDir });
        } catch (thrown) {
          if (!(thrown instanceof TidegateError) || thrown.code !== "CONFIG_INVALID") throw thrown;
          const faults = thrown.facts.faults as Fault[];
          expect(faults.length).toBeGreaterThan(0);
          for (const fault of faults) {
            expect(fault.message).not.toMatch(/invalid input/i);
            expect(fault.line).toBeGreaterThan(0);
            // What keys say of each other is told at the key that no longer fits, in the same stream.
            const near = path[0] === "streams" ? "streams" : renderPath(path);
            expect(fault.path.startsWith(near), `${fault.path} for ${renderPath(path)}`).toBe(true);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  it("of any text loads, or has faults of configuration", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."ab:{}[]-,&*!|>'\"#%@` \n\t?<0."), maxLength: 60 }), (text) => {
        try {
          loadConfig({ text: `${least}${text}`, baseDir });
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(TidegateError);
          expect((thrown as TidegateError).code).toBe("CONFIG_INVALID");
        }
      }),
      { numRuns: 500 },
    );
  });
});

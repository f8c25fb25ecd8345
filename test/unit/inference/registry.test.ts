import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Registry } from "../../../src/inference/registry.ts";
import { writeBundle } from "../../support/model-bundle.ts";
import { emptyFolder, eventually } from "../../support/started-host.ts";

test("bundles are found in several folders, the first one wins, and other files are no bundles", async () => {
  const [own, shipped] = [emptyFolder(), emptyFolder()];
  writeBundle(own, { name: "sum", version: 2 });
  writeBundle(shipped, { name: "sum", version: 1 });
  writeBundle(shipped, { name: "other" });
  mkdirSync(join(shipped, "empty"));
  writeFileSync(join(shipped, "README.md"), "models");
  const registry = new Registry({ dirs: [own, join(own, "missing"), shipped] });
  expect(await registry.list()).toMatchObject([
    { name: "other", dir: join(shipped, "other"), version: 1, task: "anomaly" },
    { name: "sum", dir: join(own, "sum"), version: 2 },
  ]);
  expect((await registry.open("sum")).card.version).toBe(2);
});

test("a bundle that does not open is listed with its fault, and the others are listed all the same", async () => {
  const dir = emptyFolder();
  writeBundle(dir, { name: "good" });
  writeFileSync(join(writeBundle(dir, { name: "bad" }), "card.yaml"), "format: 2");
  renameSync(writeBundle(dir, { name: "moved" }), join(dir, "elsewhere"));
  const listings = await new Registry({ dirs: [dir] }).list();
  expect(listings.map(({ name }) => name)).toEqual(["bad", "elsewhere", "good"]);
  expect(listings[0]).toMatchObject({ fault: expect.stringContaining("card.yaml") });
  expect(listings[1]).toMatchObject({ fault: expect.stringContaining("it says moved, its folder elsewhere") });
  expect(listings[2]).toMatchObject({ version: 1 });
});

test("a model that is not there is an error of the configuration that names the nearest one", async () => {
  const dir = emptyFolder();
  writeBundle(dir, { name: "mote-anomaly" });
  const open = new Registry({ dirs: [dir] }).open("mote-anomoly");
  await expect(open).rejects.toMatchObject({ code: "MODEL_MISSING", exit: 78, facts: { nearest: "mote-anomaly" } });
});

test.each(["../sum", "sum/../sum", "", "a b", ".", "/etc"])("a name like %j leads nowhere", async (name) => {
  const dir = emptyFolder();
  writeBundle(dir);
  await expect(new Registry({ dirs: [join(dir, "sum"), dir] }).open(name)).rejects.toMatchObject({
    code: "MODEL_MISSING",
  });
});

test("a change since a bundle was opened is told once it has settled, once", async () => {
  const dir = emptyFolder();
  const bundle = writeBundle(dir);
  writeBundle(dir, { name: "still" });
  const registry = new Registry({ dirs: [dir] });
  await registry.open("sum");
  writeFileSync(join(bundle, "card.yaml"), "changed before the first look");
  const told: string[] = [];
  onTestFinished(registry.watch(["sum", "still"], (name) => told.push(name), 40));
  await eventually(() => told.length === 1);
  // Writing goes on for longer than a look lasts: not told before it ends.
  const end = performance.now() + 200;
  for (let text = "x"; performance.now() < end; text += "x") {
    writeFileSync(join(bundle, "golden.ndjson"), text);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await eventually(() => told.length >= 2);
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(told).toEqual(["sum", "sum"]);
});

test("an ended watch tells nothing more", async () => {
  const dir = emptyFolder();
  const bundle = writeBundle(dir);
  const registry = new Registry({ dirs: [dir] });
  const told: string[] = [];
  const end = registry.watch(["sum"], (name) => told.push(name), 5);
  end();
  writeFileSync(join(bundle, "card.yaml"), "changed");
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(told).toEqual([]);
});

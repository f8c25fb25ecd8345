import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";

const root = resolve(import.meta.dirname, "../../..");
const scripts = ["scripts", "bin", ".ci", "test/device"].flatMap((folder) =>
  readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => (entry.isFile() ? [entry.name] : []))
    .map((name) => join(folder, name))
    .filter((file) => readFileSync(join(root, file), "utf8").startsWith("#!")),
);

it.each(scripts)("%s is understood by the shell that it names", (script) => {
  const [, shell = ""] = /^#!\S*\/(?:env )?(\w+)/.exec(readFileSync(join(root, script), "utf8")) ?? [];
  const { status, stderr } = spawnSync(shell, ["-n", join(root, script)], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

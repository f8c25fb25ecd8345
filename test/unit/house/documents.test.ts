import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { verbs } from "../../../src/commands/verbs.ts";
import { loadConfig } from "../../../src/config/load.ts";

const root = resolve(import.meta.dirname, "../../..");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const documents = [
  ...readdirSync(root).filter((file) => file.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md"))
    .map((file) => join("docs", file)),
];

describe("the documents", () => {
  it("show configurations that load", () => {
    const blocks = [...read("README.md").matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? "");
    const whole = blocks.filter((block) => block.startsWith("version:"));
    expect(whole.length).toBeGreaterThan(0);
    for (const text of whole) expect(() => loadConfig({ text, baseDir: "/etc/tidegate" })).not.toThrow();
  });

  it("link to files that are there", () => {
    const broken = documents.flatMap((file) =>
      [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
        .map((match) => match[1] ?? "")
        .filter((target) => !existsSync(resolve(root, dirname(file), target)))
        .map((target) => `${file} -> ${target}`),
    );
    expect(broken).toEqual([]);
  });

  it("name tests that exist", () => {
    const named = documents.flatMap((file) =>
      [...read(file).matchAll(/`(test\/[\w./-]+\.ts)`/g)].map((match) => [file, match[1] ?? ""] as const),
    );
    expect(named.filter(([file]) => file === "docs/threat-model.md").length).toBeGreaterThan(40);
    expect(named.filter(([, test]) => !existsSync(join(root, test)))).toEqual([]);
  });

  it("name verbs that exist", () => {
    const known = new Set(verbs.map(({ name }) => name));
    const named = documents.flatMap((file) =>
      [...read(file).matchAll(/`tidegate ([a-z]+)/g)].map((match) => [file, match[1] ?? ""] as const),
    );
    const later = new Set(["coordinator", "worker", "trace", "fleet", "diag"]);
    expect(named.filter(([, verb]) => !known.has(verb) && !later.has(verb))).toEqual([]);
  });
});

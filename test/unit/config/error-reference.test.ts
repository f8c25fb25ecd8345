import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { renderErrorReference } from "../../../scripts/error-reference.ts";
import { errorTable, retiredCodes } from "../../../src/base/error-table.ts";

const src = resolve(import.meta.dirname, "../../../src");
const codesOf = (markdown: string): string[] =>
  [...markdown.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1] ?? "").toSorted();

describe("the reference of errors", () => {
  it("has the codes of the table, each once, and no other", () => {
    expect(codesOf(renderErrorReference())).toEqual(Object.keys(errorTable).toSorted());
  });

  it("keeps a table cell in one cell", () => {
    const definition = { kind: "config", exit: 78, message: "a | b {reason}", help: "Do c." } as const;
    expect(renderErrorReference({ X: definition }, ["OLD"])).toContain(
      "| `X` | config | 78 | a \\| b {reason} | Do c. |",
    );
    expect(renderErrorReference({ X: definition }, ["OLD"])).toContain("`OLD`");
  });
});

describe("the table of errors", () => {
  const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && name !== "base/error-table.ts")
    .map((name) => readFileSync(join(src, name), "utf8"))
    .join("\n");

  it("holds no code that is raised nowhere: such a code is retired", () => {
    const codes = Object.keys(errorTable).filter((code) => !new RegExp(`"${code}"`).test(sources));
    expect(codes).toEqual([]);
  });

  it("gives no retired code a new meaning", () => {
    expect(retiredCodes.filter((code) => Object.hasOwn(errorTable, code))).toEqual([]);
  });

  it("ends every command with a code that scripts know", () => {
    const known = [64, 65, 69, 70, 74, 75, 77, 78];
    expect(Object.entries(errorTable).filter(([, { exit }]) => !known.includes(exit))).toEqual([]);
  });
});

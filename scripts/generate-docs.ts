// Writes docs/reference from the declarations in src; with --check it only tells what is stale (exit 1).
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { configJsonSchema } from "../src/config/json-schema.ts";
import { renderReference } from "../src/config/reference.ts";
import { renderSample } from "../src/config/sample.ts";
import { renderErrorReference } from "./error-reference.ts";

const folder = resolve(import.meta.dirname, "../docs/reference");

const documents: Readonly<Record<string, string>> = {
  "configuration.md": renderReference(),
  "tidegate.sample.yaml": renderSample(),
  "tidegate.schema.json": `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
  "errors.md": renderErrorReference(),
};

const written = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
};

const stale = Object.entries(documents).filter(([name, text]) => written(resolve(folder, name)) !== text);

if (process.argv.includes("--check")) {
  for (const [name] of stale) console.error(`docs/reference/${name} is stale: run \`npm run docs\``);
  if (stale.length === 0) console.log(`docs/reference: ${Object.keys(documents).length} files are up to date`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of stale) writeFileSync(resolve(folder, name), text);
  console.log(`docs/reference: ${stale.length} of ${Object.keys(documents).length} files written`);
}

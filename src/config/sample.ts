import { stringify } from "yaml";
import type * as z from "zod";
import { metaOf, type OptionMeta, type Shape } from "./option.ts";
import { rootShape } from "./walk.ts";

const width = 110;

const opening = `# Every key of Tidegate's configuration, with what it means and its default.
# A line "# ..." explains; a line "#key: value" is a key that is not set: take the "#" away and change the value.
# Only \`sensors\` must be there. Relative paths count from the folder of this file.
`;

/** The sample file: loads as it is, names every key, and shows all but a few commented out with their defaults. */
export function renderSample(): string {
  const blocks = Object.entries(rootShape).map(([key, schema]) => renderKey(key, schema, ""));
  return `${opening}\n${blocks.join("\n")}`;
}

/** @param isOff  the section that holds the key is commented out */
function renderKey(key: string, schema: z.ZodType, indent: string, isOff = false): string {
  const meta = metaOf(schema);
  if (!meta) return "";
  const line = (words: string, value: string, isSet: boolean) =>
    `${comment(words, indent)}${indent}${isSet && !isOff ? "" : "#"}${key}:${value}\n`;
  const inner = `${indent}  `;
  const shown = meta.sample ?? meta.example;
  if (shown === undefined && meta.shape) {
    // An optional section would be there with its first key: it has to be taken up as a whole.
    const isSet = meta.required === true || meta.default !== undefined;
    return line(meta.doc, "", isSet) + renderKeys(meta.shape, inner, isOff || !isSet);
  }
  if (meta.entry && meta.sampleName !== undefined)
    return line(meta.doc, "", true) + renderKey(meta.sampleName, meta.entry, inner, isOff);
  return line(sentence(meta), ` ${flow(shown ?? meta.default)}`, meta.sample !== undefined);
}

const renderKeys = (shape: Shape, indent: string, isOff: boolean): string =>
  Object.entries(shape)
    .map(([key, schema]) => renderKey(key, schema, indent, isOff))
    .join("");

/** The doc, with the values that may stand there and where the default comes from. */
function sentence(meta: OptionMeta): string {
  const { doc, type, range, byProfile } = meta;
  const choices = type.startsWith("one of ") ? type.slice("one of ".length) : range;
  return [doc, choices === undefined ? "" : `(${choices})`, byProfile ? "By device profile." : ""]
    .filter((part) => part !== "")
    .join(" ");
}

function comment(text: string, indent: string): string {
  const lines = [`${indent}#`];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line.length + word.length + 1 > width) lines.push(`${indent}# ${word}`);
    else lines[lines.length - 1] = `${line} ${word}`;
  }
  return `${lines.join("\n")}\n`;
}

const flow = (value: unknown): string =>
  stringify(value, { collectionStyle: "flow", lineWidth: 0, defaultStringType: "PLAIN" }).trim();

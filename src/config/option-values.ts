import * as z from "zod";
import { parseBytes, parseDuration, renderDuration } from "../base/units.ts";
import {
  type Declared,
  declare,
  expectedWords,
  idPattern,
  type OptionFacts,
  type OptionMeta,
  type OptionWords,
  shown,
} from "./option.ts";

/** Builds a leaf whose written form is text (or a number) and whose parsed form is `T`. `parse` returns a fault or the value. */
type Parsed<T> = { value: T } | { fault: string };

function leaf<T, const W extends OptionWords>(
  words: W,
  facts: OptionFacts,
  parse: (written: unknown) => Parsed<T>,
): Declared<z.ZodType<T>, W> {
  const schema = z.unknown().transform((written, context): T => {
    const parsed = parse(written);
    if ("value" in parsed) return parsed.value;
    context.addIssue({ code: "custom", message: parsed.fault });
    return z.NEVER;
  });
  return declare(schema as unknown as z.ZodType<T>, words, facts);
}

const expected = (what: string, written: unknown): { fault: string } => ({ fault: expectedWords(what, written) });

const between = (value: number, min: number, max: number): boolean => value >= min && value <= max;

/** A span of time, written with its unit ("200ms", "5s", "1.5h"); parsed to milliseconds. */
export function duration<const W extends OptionWords>(words: W & { min?: string; max?: string }) {
  const { min = "0s", max = "10000d", ...rest } = words;
  const [low, high] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  const range = max === "10000d" ? `at least ${min}` : `${min} to ${max}`;
  const json = { type: "string", pattern: "^\\s*\\d+(\\.\\d+)?\\s*(ms|s|m|h|d|w)\\s*$" };
  const facts = { type: "duration", range, unit: "ms", json, scalar: "text" } as const;
  return leaf<number, W>(rest as unknown as W, facts, (written) => {
    if (typeof written === "number") return { fault: `${written} needs a unit, such as ${renderDuration(5000)}` };
    const ms = typeof written === "string" ? parseDuration(written) : undefined;
    if (ms === undefined) return expected("a duration such as 200ms, 5s or 1.5h", written);
    return between(ms, low, high) ? { value: ms } : { fault: `${written} is out of range: ${range}` };
  });
}

/** A size, written with its unit ("120KiB", "2GiB") or as a number of bytes; parsed to bytes. */
export function bytes<const W extends OptionWords>(words: W & { min?: string; max?: string }) {
  const { min = "0B", max = "1024TiB", ...rest } = words;
  const [low, high] = [parseBytes(min) ?? 0, parseBytes(max) ?? 0];
  const range = max === "1024TiB" ? `at least ${min}` : `${min} to ${max}`;
  const json = {
    anyOf: [
      { type: "string", pattern: sizePattern },
      { type: "integer", minimum: 0 },
    ],
  };
  return leaf<number, W>(
    rest as unknown as W,
    { type: "size", range, unit: "bytes", json, scalar: "text" },
    (written) => {
      const size = sizeOf(written);
      if (size === undefined) return expected("a size such as 120KiB or 2GiB", written);
      return between(size, low, high) ? { value: size } : { fault: `${shown(written)} is out of range: ${range}` };
    },
  );
}

const sizePattern = "^\\s*\\d+(\\.\\d+)?\\s*(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\\s*$";

function sizeOf(written: unknown): number | undefined {
  if (typeof written === "number") return Number.isInteger(written) && written >= 0 ? written : undefined;
  if (typeof written !== "string") return undefined;
  return /^\d+$/.test(written) ? Number(written) : parseBytes(written);
}

/** Part of a disk: percent of it ("10%") or a size ("2GiB"). */
export type Share = { readonly percent: number } | { readonly bytes: number };

/** A part of the disk, in percent or as a size. */
export function share<const W extends OptionWords>(words: W) {
  const json = { anyOf: [{ type: "string", pattern: `^\\d+(\\.\\d+)?\\s*%$|${sizePattern}` }, { type: "integer" }] };
  const facts = { type: "percent or size", range: "0% to 90%, or a size", json, scalar: "text" } as const;
  return leaf<Share, W>(words, facts, (written) => {
    const percent = typeof written === "string" ? /^(\d+(?:\.\d+)?)\s*%$/.exec(written)?.[1] : undefined;
    if (percent !== undefined) {
      return between(Number(percent), 0, 90)
        ? { value: { percent: Number(percent) } }
        : { fault: `${written} is out of range: 0% to 90%` };
    }
    const size = sizeOf(written);
    return size === undefined
      ? expected("a share such as 10% or a size such as 2GiB", written)
      : { value: { bytes: size } };
  });
}

/** A whole number within a range. */
export function integer<const W extends OptionWords>(
  words: W & { min: number; max: number; unit?: OptionMeta["unit"] },
) {
  return numeric<W>(words, true);
}

/** A number within a range. */
export function decimal<const W extends OptionWords>(
  words: W & { min?: number; max?: number; unit?: OptionMeta["unit"] },
) {
  return numeric<W>({ min: -Number.MAX_VALUE, max: Number.MAX_VALUE, ...words }, false);
}

function numeric<const W extends OptionWords>(
  words: W & { min: number; max: number; unit?: OptionMeta["unit"] },
  whole: boolean,
) {
  const { min, max, unit, ...rest } = words;
  const range = Math.abs(min) === Number.MAX_VALUE ? "any finite number" : `${min} to ${max}`;
  const bounds = Math.abs(min) === Number.MAX_VALUE ? {} : { minimum: min, maximum: max };
  const facts = {
    type: whole ? "whole number" : "number",
    range,
    ...(unit ? { unit } : {}),
    json: { type: whole ? "integer" : "number", ...bounds },
    scalar: "json",
  } as const;
  return leaf<number, W>(rest as unknown as W, facts, (written) => {
    if (typeof written !== "number" || !Number.isFinite(written) || (whole && !Number.isInteger(written)))
      return expected(`a ${facts.type}`, written);
    return between(written, min, max) ? { value: written } : { fault: `${written} is out of range: ${range}` };
  });
}

/** True or false. */
export const flag = <const W extends OptionWords>(words: W) =>
  leaf<boolean, W>(words, { type: "true or false", json: { type: "boolean" }, scalar: "json" }, (written) =>
    typeof written === "boolean" ? { value: written } : expected("true or false", written),
  );

/** One of a few words. `refused` words are known, and the reason why they cannot be had is told. */
export function enumeration<const V extends string, const W extends OptionWords>(
  values: readonly V[],
  words: W & { refused?: Readonly<Record<string, string>> },
) {
  const { refused = {}, ...rest } = words;
  const json = { enum: values.flatMap((value) => (numberLike(value) ? [value, Number(value)] : [value])) };
  return leaf<V, W>(rest as unknown as W, { type: `one of ${values.join(", ")}`, json, scalar: "text" }, (written) => {
    const text = typeof written === "number" ? String(written) : written;
    const found = values.find((value) => value === text);
    if (found !== undefined) return { value: found };
    const reason = typeof text === "string" && Object.hasOwn(refused, text) ? refused[text] : undefined;
    return reason === undefined ? expected(`one of ${values.join(", ")}`, written) : { fault: reason };
  });
}

const numberLike = (value: string): boolean => String(Number(value)) === value;

/** Text of a given form. */
export function text<const W extends OptionWords>(
  words: W & { form?: RegExp; called?: string; max?: number; type?: string },
) {
  const { form, called = "text", max = 1024, type = "text", ...rest } = words;
  const json = { type: "string", maxLength: max, ...(form ? { pattern: form.source } : {}) };
  const facts = { type, ...(form ? { range: called } : {}), json, scalar: "text" } as const;
  return leaf<string, W>(rest as unknown as W, facts, (written) => {
    if (typeof written === "number" || typeof written === "boolean")
      return { fault: `expected ${called}, got ${written}: put it in quotes` };
    if (typeof written !== "string" || written === "" || (form && !form.test(written)))
      return expected(called, written);
    return written.length > max ? { fault: `is longer than ${max} characters` } : { value: written };
  });
}

/** A name of the user's choice. */
export const id = <const W extends OptionWords>(words: W) =>
  text<W>({ ...words, form: idPattern, called: "a name of [A-Za-z0-9_-]{1,64}", type: "name" });

/** A file or folder; relative ones count from the configuration file. Absolute after loading. */
export const path = <const W extends OptionWords>(words: W) => pathLeaf(words, "path");

/** A file with a secret: a plain name is looked for in `$CREDENTIALS_DIRECTORY` first. Absolute after loading. */
export const secretPath = <const W extends OptionWords>(words: W) => pathLeaf(words, "secret");

const pathLeaf = <const W extends OptionWords>(words: W, scalar: "path" | "secret") =>
  leaf<string, W>(words, { type: "path", json: { type: "string" }, scalar }, (written) =>
    typeof written === "string" && written !== "" && !written.includes("\0")
      ? { value: written }
      : expected("a path", written),
  );

/** Any text, number or flag of which the folder itself knows the form: `check` returns what is wrong with it. */
export function formed<T, const W extends OptionWords>(
  words: W,
  facts: Pick<OptionMeta, "type" | "range" | "json">,
  check: (written: unknown) => Parsed<T>,
) {
  return leaf<T, W>(words, { scalar: "text", ...facts }, check);
}

export type { Parsed };

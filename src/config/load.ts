import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Document, LineCounter, parseDocument } from "yaml";
import type * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import type { Config } from "./config.ts";
import { detectProfile, type Profile, readProfile } from "./profile.ts";
import { configSchema } from "./schema.ts";
import { declaredAt, mapLeaves, type Path, renderPath, rootShape } from "./walk.ts";

export type Origin = "default" | "profile" | "file" | "environment" | "flag";

/** One thing that is wrong, where it stands. Line and column count from 1. */
export type Fault = {
  readonly path: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
  readonly nearest?: string;
};

export type LoadedConfig = {
  readonly config: Config;
  readonly profile: Profile;
  /** Where the value of each leaf that was set comes from; what is missing here is a default. */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly file: string;
};

export type LoadOptions = {
  readonly file?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Values by path: `{"gateway.dataDir": "/tmp/x"}`. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** The file's text, when it does not come from `file`. */
  readonly text?: string;
  readonly baseDir?: string;
};

export const defaultFile = "/etc/tidegate/tidegate.yaml";

type Tree = { [key: string]: unknown };

/**
 * Loads the configuration: schema default < device profile < file < `TIDEGATE_A__B` environment < flags.
 * @throws TidegateError CONFIG_INVALID with every fault in facts.faults; FILE_UNREADABLE, PROFILE_INVALID
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const file = options.file ?? defaultFile;
  const text = options.text ?? readText(file);
  const baseDir = options.baseDir ?? dirname(resolve(file));
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0)
    throw invalid(
      file,
      document.errors.map(({ message, pos }) => ({ path: "", message, ...place(pos[0]) })),
    );
  const written = (document.toJS({ maxAliasCount: 100 }) ?? {}) as Tree;
  if (typeof written !== "object" || Array.isArray(written))
    throw invalid(file, [{ path: "", message: "expected keys and values", line: 1, column: 1 }]);

  const origins = new Map<string, Origin>();
  const faults: Fault[] = [];
  const layers: [Origin, Tree][] = [
    ["file", written],
    ["environment", environmentLayer(options.env ?? {}, faults)],
  ];
  if (options.flags) layers.push(["flag", flagLayer(options.flags)]);
  const named = layers
    .map(([, layer]) => (layer.gateway as Tree | undefined)?.profile)
    .filter((name) => typeof name === "string");
  const wanted = (named.at(-1) as string | undefined) ?? "auto";
  const profile = readProfile(wanted === "auto" ? detectProfile() : wanted);
  layers.unshift(["profile", profileLayer(profile)]);

  let merged: Tree = {};
  for (const [origin, layer] of layers) {
    const isOfFile = origin === "file";
    const resolved = mapLeaves(layer, (leaf, meta, path) => {
      origins.set(renderPath(path), origin);
      if (meta.scalar !== "path" || typeof leaf !== "string") return leaf;
      return resolve(isOfFile ? baseDir : process.cwd(), leaf);
    }) as Tree;
    merged = merge(merged, resolved);
  }
  const parsed = configSchema.safeParse(merged);
  if (!parsed.success) faults.push(...parsed.error.issues.flatMap((issue) => faultsOf(issue, document, place)));
  if (faults.length > 0 || !parsed.success) throw invalid(file, faults);
  faults.push(...crossFaults(parsed.data).map((fault) => located(fault.path, fault.message, document, place)));
  if (faults.length > 0) throw invalid(file, faults);
  return { config: withId(parsed.data, profile), profile, origins, file };
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new TidegateError("CONFIG_MISSING", { file }, { cause });
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

const invalid = (file: string, faults: readonly Fault[]): TidegateError =>
  new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults });

function profileLayer(profile: Profile): Tree {
  const { threads, maxBatch, providers, commitMaxDelay, maxCelsius } = profile;
  return {
    models: { threads, maxBatch, providers },
    buffer: { commitMaxDelay: `${commitMaxDelay}ms` },
    training: { maxCelsius },
  };
}

/** `TIDEGATE_SENSORS__URL` is `sensors.url`: keys are found whatever their case. */
function environmentLayer(env: Readonly<Record<string, string | undefined>>, faults: Fault[]): Tree {
  const layer: Tree = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith("TIDEGATE_") || !name.includes("__") || value === undefined) continue;
    const path: string[] = [];
    for (const part of name.slice("TIDEGATE_".length).split("__")) {
      const { keys, meta } = path.length === 0 ? { keys: Object.keys(rootShape), meta: undefined } : declaredAt(path);
      const key = keys.find((known) => known.toLowerCase() === part.toLowerCase());
      path.push(key ?? (meta?.entry ? part.toLowerCase() : part));
    }
    const { meta } = declaredAt(path);
    if (!meta) faults.push({ path: name, message: "this environment variable names no key" });
    else put(layer, path, meta.scalar === "text" || meta.scalar === "path" ? value : (readJson(value) ?? value));
  }
  return layer;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function flagLayer(flags: Readonly<Record<string, unknown>>): Tree {
  const layer: Tree = {};
  for (const [path, value] of Object.entries(flags)) if (value !== undefined) put(layer, path.split("."), value);
  return layer;
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  let at = tree;
  for (const key of path.slice(0, -1)) {
    at[key] ??= {};
    at = at[key] as Tree;
  }
  at[path.at(-1) ?? ""] = value;
}

/** Sections are merged key by key; lists and plain values replace. */
function merge(low: unknown, high: unknown): Tree {
  const isTree = (value: unknown): value is Tree =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isTree(low) || !isTree(high)) return high as Tree;
  const merged: Tree = { ...low };
  for (const [key, value] of Object.entries(high)) merged[key] = key in low ? merge(low[key], value) : value;
  return merged;
}

type Place = (offset: number) => { line: number; column: number };

function faultsOf(issue: z.core.$ZodIssue, document: Document, place: Place): Fault[] {
  const path = issue.path as Path;
  if (issue.code !== "unrecognized_keys") return [located(path, issue.message, document, place)];
  const known = path.length === 0 ? Object.keys(rootShape) : declaredAt(path).keys;
  return issue.keys.map((key) => {
    const nearest = nearestName(key, known);
    const message = nearest ? `unknown key; did you mean ${nearest}?` : `unknown key; known are ${known.join(", ")}`;
    return { ...located([...path, key], message, document, place, true), ...(nearest ? { nearest } : {}) };
  });
}

/** The fault with the place of its key or value; of something that is missing, the place of what should hold it. */
function located(path: Path, message: string, document: Document, place: Place, isKey = false): Fault {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as { range?: [number, number, number] } | undefined;
    const parent = document.getIn(path.slice(0, length - 1), true) as { items?: unknown[] } | undefined;
    const pair = (parent?.items as { key?: { value?: unknown; range?: [number] } }[] | undefined)?.find(
      (item) => item?.key?.value === path[length - 1],
    );
    const offset = isKey || !node?.range ? (pair?.key?.range?.[0] ?? node?.range?.[0]) : node.range[0];
    if (offset !== undefined) return { path: renderPath(path), message, ...place(offset) };
  }
  return { path: renderPath(path), message };
}

/** What no single key can tell. */
function crossFaults(config: Config): { path: Path; message: string }[] {
  const faults: { path: Path; message: string }[] = [];
  for (const [name, stream] of Object.entries(config.streams)) {
    const at = (...rest: (string | number)[]) => ["streams", name, ...rest];
    const known = new Set(Object.keys(stream.fields));
    for (const [i, { field, op, by, over, as }] of stream.transform.entries()) {
      if (!known.has(field)) faults.push({ path: at("transform", i, "field"), message: `there is no field ${field}` });
      if ((op === "scale" || op === "offset") && by === undefined)
        faults.push({ path: at("transform", i, "op"), message: `${op} needs \`by\`` });
      if (["mean", "std", "min", "max"].includes(op) && over === undefined)
        faults.push({ path: at("transform", i, "op"), message: `${op} needs \`over\`` });
      if (as !== undefined) known.add(as);
    }
    for (const field of Object.keys(stream.clean.range))
      if (!known.has(field)) faults.push({ path: at("clean", "range", field), message: `there is no field ${field}` });
    if (stream.model !== undefined && known.size === 0)
      faults.push({ path: at("fields"), message: "a stream with a model needs fields" });
  }
  return faults;
}

function withId(config: Config, profile: Profile): Config {
  const id = config.gateway.id === "auto" ? machineName() : config.gateway.id;
  return { ...config, gateway: { ...config.gateway, id, profile: profile.name } };
}

/** Derived from the machine's id, which must not be told to others as it is. */
function machineName(): string {
  let machine: string;
  try {
    machine = readFileSync("/etc/machine-id", "utf8").trim();
  } catch {
    throw new TidegateError("CONFIG_INVALID", {
      file: "gateway.id",
      count: 1,
      faults: [{ path: "gateway.id", message: "auto needs /etc/machine-id, which is not there: give a name" }],
    });
  }
  return `gw-${createHash("sha256").update(`tidegate/${machine}`).digest("hex").slice(0, 12)}`;
}

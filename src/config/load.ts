import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type Document, LineCounter, parseDocument } from "yaml";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Config } from "./config.ts";
import { configInvalid, type Fault, FaultFinder, unknown } from "./fault.ts";
import { machineGatewayId } from "./gateway-id.ts";
import {
  absolutePath,
  type Environment,
  environmentLayer,
  flagLayer,
  isTree,
  merge,
  profileLayer,
  type Tree,
} from "./layers.ts";
import { detectProfile, type Profile, profileNames, readProfile, requireSupportedSystem } from "./profile.ts";
import { configSchema } from "./schema.ts";
import { federationFaults, labelFaults, streamFaults } from "./stream-faults.ts";
import { streamSchema } from "./stream-schema.ts";
import { mapLeaves, renderPath } from "./walk.ts";

/** Where a value comes from, weakest first. */
export type Origin = "default" | "profile" | "file" | "environment" | "remote" | "flag";

export type LoadedConfig = {
  readonly config: Config;
  readonly profile: Profile;
  /** Where the value of each leaf comes from: `buffer.maxBytes`, `streams.env.topic` … */
  readonly origins: ReadonlyMap<string, Origin>;
  readonly file: string;
};

export type LoadOptions = {
  readonly file?: string;
  readonly env?: Environment;
  /** The overlay that was signed from afar. Its rules (`overlayNeeds`) are for whoever takes it to have seen to. */
  readonly remote?: Tree | null;
  /** Values by path: `{"gateway.dataDir": "/tmp/x"}`. */
  readonly flags?: Readonly<Record<string, unknown>>;
  /** The file's text, when it does not come from `file`. */
  readonly text?: string;
  /** What relative paths count from; absent: the folder of `file`. */
  readonly baseDir?: string;
};

export const defaultFile = "/etc/tidegate/tidegate.yaml";

/** Beside `src/` in a clone, beside `dist/` in a package. */
const packagedModels = resolve(import.meta.dirname, "../../models");

/**
 * Loads the configuration: schema default < device profile < file < `TIDEGATE_A__B` environment < signed remote
 * overlay < flags.
 * @throws TidegateError CONFIG_INVALID with every fault (`Fault[]`) in facts.faults; CONFIG_MISSING, FILE_UNREADABLE,
 * SYSTEM_UNSUPPORTED
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  requireSupportedSystem();
  const file = options.file ?? defaultFile;
  const env = options.env ?? {};
  const setters = new Map<string, string>();
  const { written, finder } = parseFile(file, options.text ?? readConfigText(file), setters);
  const environment = environmentLayer(env, written);
  for (const [path, variable] of environment.setters) setters.set(path, variable);
  mapLeaves(options.remote ?? {}, (_, __, path) => setters.set(renderPath(path), "the remote overlay"));
  for (const path of Object.keys(options.flags ?? {})) setters.set(path, "the command line");
  const flags = flagLayer(options.flags ?? {});
  const faults: Fault[] = [...environment.faults];

  const profile = chooseProfile([flags, options.remote ?? {}, environment.layer, written], finder, faults);
  const baseDir = options.baseDir ?? dirname(resolve(file));
  const layers: readonly [Origin, Tree, string][] = [
    ["profile", profileLayer(profile), baseDir],
    ["file", written, baseDir],
    ["environment", environment.layer, process.cwd()],
    ["remote", options.remote ?? {}, baseDir],
    ["flag", flags, process.cwd()],
  ];
  const origins = new Map<string, Origin>();
  let merged: Tree = {};
  for (const [origin, layer, base] of layers) {
    const absolute = mapLeaves(layer, (leaf, { scalar }, path) => {
      origins.set(renderPath(path), origin);
      const isPath = scalar === "path" || scalar === "secret";
      return isPath && typeof leaf === "string" && leaf !== "" ? absolutePath(leaf, scalar, base, env) : leaf;
    });
    merged = merge(merged, absolute as Tree);
  }

  const parsed = configSchema.safeParse(merged);
  faults.push(...(parsed.error?.issues ?? []).flatMap((issue) => finder.ofIssue(issue)));
  faults.push(...faultsAmongKeys(merged, finder));
  const id = parsed.data?.gateway.id === "auto" ? machineGatewayId() : parsed.data?.gateway.id;
  if (parsed.success && id === undefined)
    faults.push(
      finder.at(["gateway", "id"], { message: "auto needs /etc/machine-id, which is not there: give a name" }),
    );
  if (faults.length > 0 || !parsed.success || id === undefined) throw configInvalid(file, faults);

  const { gateway, models, ...rest } = parsed.data;
  const config: Config = {
    ...rest,
    gateway: { ...gateway, id, profile: profile.name },
    models: { ...models, dir: models.dir ?? packagedModels },
  };
  mapLeaves(config, (leaf, _, path) => {
    if (!origins.has(renderPath(path))) origins.set(renderPath(path), "default");
    return leaf;
  });
  return { config, profile, origins, file };
}

/** @throws TidegateError CONFIG_MISSING, FILE_UNREADABLE */
export function readConfigText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT")
      throw new TidegateError("CONFIG_MISSING", { file }, { cause });
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

/** YAML to what was written. Its own faults end the search: what stands behind them cannot be told. */
function parseFile(file: string, text: string, setters: ReadonlyMap<string, string>) {
  const lines = new LineCounter();
  const start = { path: "", line: 1, column: 1 };
  let document: Document.Parsed;
  let written: unknown;
  let finder: FaultFinder;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
    finder = new FaultFinder(document, lines, setters);
    const faults = finder.ofText();
    if (faults.length > 0) throw configInvalid(file, faults);
    written = document.toJS({ maxAliasCount: 100 }) ?? {};
  } catch (thrown) {
    if (thrown instanceof TidegateError) throw thrown;
    throw configInvalid(file, [{ ...start, message: reasonOf(thrown) }]);
  }
  if (!isTree(written)) throw configInvalid(file, [{ ...start, message: "expected keys and values" }]);
  return { written, finder };
}

/** The profile that the strongest layer names, or the one that fits. An unknown one is a fault like any other. */
function chooseProfile(strongestFirst: readonly Tree[], finder: FaultFinder, faults: Fault[]): Profile {
  const named = strongestFirst
    .map(({ gateway }) => (isTree(gateway) ? gateway.profile : undefined))
    .find((name) => typeof name === "string");
  if (named === undefined || named === "auto") return readProfile(detectProfile());
  if (profileNames().includes(named)) return readProfile(named);
  faults.push(finder.at(["gateway", "profile"], unknown("profile", named, profileNames())));
  return readProfile(detectProfile());
}

/** What no single key can tell, for every stream that is sound by itself: faults elsewhere do not hide them. */
function faultsAmongKeys(merged: Tree, finder: FaultFinder): Fault[] {
  const streams = isTree(merged.streams) ? merged.streams : {};
  const shared = federationFaults(merged).map(({ path, ...words }) => finder.at(path, words));
  const own = Object.entries(streams).flatMap(([name, written]) => {
    const stream = streamSchema.safeParse(written);
    if (!stream.success) return [];
    const faults = [...streamFaults(stream.data), ...labelFaults(stream.data, streams)];
    return faults.map(({ path, ...words }) => finder.at(["streams", name, ...path], words));
  });
  return [...own, ...shared];
}

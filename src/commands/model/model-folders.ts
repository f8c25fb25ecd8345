import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Config } from "../../config/config.ts";
import { type LoadedConfig, loadConfig } from "../../config/load.ts";
import { type Bundle, openBundle } from "../../inference/bundle.ts";
import { Registry } from "../../inference/registry.ts";
import { configFile } from "../load-configuration.ts";
import type { Io } from "../verb.ts";

export type Models = {
  readonly registry: Registry;
  readonly settings: Config["models"];
  /** Null where no configuration was found: the models of the package can be looked at without one. */
  readonly loaded: LoadedConfig | null;
  /**
   * Opens a model by its name, or a bundle by its folder.
   * @throws TidegateError MODEL_MISSING, CARD_INVALID, FILE_UNREADABLE
   */
  open(name: string): Promise<Bundle>;
};

const standIn = { version: 1, gateway: { id: "none" }, sensors: { url: "mqtt://127.0.0.1" } };

/** Where models lie: in a folder that is named, in the data directory, in the configuration's folder. */
export function modelsAt(io: Io, options: { config?: string; dir?: string }): Models {
  const file = configFile(io, options);
  const isNamed = options.config !== undefined || io.env.TIDEGATE_CONFIG !== undefined;
  const isThere = isNamed || existsSync(file);
  const loaded = isThere ? loadConfig({ file, env: io.env }) : null;
  const { config } = loaded ?? loadConfig({ text: JSON.stringify(standIn), env: {} });
  const near = options.dir === undefined ? [] : [resolve(options.dir)];
  const own = loaded ? [join(config.gateway.dataDir, "models")] : [];
  const registry = new Registry({ dirs: [...near, ...own, config.models.dir] });
  const open = (name: string) => (name.includes("/") ? openBundle(resolve(name)) : registry.open(name));
  return { registry, settings: config.models, loaded, open };
}

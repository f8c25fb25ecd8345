import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { defaultFile, loadConfig } from "../config/load.ts";
import { openKeyRing } from "../crypto/key-ring.ts";
import { brokerAddress } from "../wire/link-options.ts";
import { firstConfig } from "./init/first-config.ts";
import { giveToOwner } from "./init/key-owner.ts";
import { givenPlace } from "./keys/passphrase.ts";
import { type Define, type Io, jsonOption, OptionFault } from "./verb.ts";

type Options = { broker: string; dir?: string; config?: string; json?: boolean };

export const define: Define = (command, io) => {
  command
    .option("--broker <url>", "the site's broker", "mqtt://127.0.0.1:1883")
    .option("--dir <folder>", "folder of the configuration; keys and data lie beside it (default: this folder)")
    .option("--config <file>", "the configuration's file itself, in place of --dir")
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate init --broker mqtt://192.168.1.10:1883\nAs a service: sudo tidegate init --dir /etc/tidegate (data go to /var/lib/tidegate).\nA configuration or a key that is there already is never replaced.",
    )
    .action((options: Options) => {
      const written = init(io, options);
      if (options.json) io.out(JSON.stringify(written));
      else tell(io, written);
    });
};

/** Writes the configuration of this device and makes its keys. */
function init(io: Io, options: Options) {
  const file = fileOf(options);
  try {
    brokerAddress(options.broker);
  } catch {
    throw new OptionFault("--broker", options.broker, "mqtt://host:port or mqtts://host:port");
  }
  const text = firstConfig({ broker: options.broker, isService: file === defaultFile });
  const { config, profile } = loadConfig({ text, file, env: {} });
  const { dataDir, id } = config.gateway;
  if (existsSync(file)) throw new TidegateError("CONFIG_PRESENT", { file });
  // Keys come first: a data directory that refuses them leaves no configuration behind that a second try would trip over.
  const keys = openKeyRing(givenPlace(io, dataDir));
  if (keys.isNew) giveToOwner(dataDir);
  write(file, text);
  return {
    file,
    profile: profile.name,
    gateway: id,
    broker: config.sensors.url,
    dataDir,
    keys: { dir: join(dataDir, "keys"), made: keys.isNew, fingerprints: keys.fingerprints },
    next: ["check", "discover", "run"].map((verb) => `tidegate ${verb} --config ${file}`),
  };
}

function fileOf({ config, dir }: Options): string {
  if (config !== undefined && dir !== undefined)
    throw new TidegateError("USAGE", { detail: "--config or --dir, not both" });
  return config === undefined ? join(resolve(dir ?? "."), "tidegate.yaml") : resolve(config);
}

function write(file: string, text: string): void {
  try {
    mkdirSync(resolve(file, ".."), { recursive: true });
    writeFileSync(file, text, { flag: "wx", mode: 0o644, flush: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST")
      throw new TidegateError("CONFIG_PRESENT", { file }, { cause });
    throw new TidegateError("CONFIG_UNWRITABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

function tell(io: Io, { file, profile, gateway, broker, keys, next }: ReturnType<typeof init>): void {
  io.out(`wrote    ${file}`);
  io.out(`gateway  ${gateway}, device profile ${profile}, broker ${broker}`);
  io.out(`keys     ${keys.dir} ${keys.made ? "(new)" : "(were there, kept)"}`);
  if (keys.made) io.out("         without them the data cannot be read: `tidegate keys backup` keeps a copy");
  io.out("next");
  const words = ["see whether everything is in place", "have streams proposed from what the broker carries", "start"];
  const width = Math.max(...next.map(({ length }) => length));
  for (const [i, line] of next.entries()) io.out(`  ${line.padEnd(width)}   ${words[i]}`);
}

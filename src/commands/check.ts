import { TidegateError } from "../base/errors.ts";
import type { LoadedConfig } from "../config/load.ts";
import { detectProfile, readProfile } from "../config/profile.ts";
import { checkBrokers } from "./check/brokers.ts";
import { type Finding, fail, ok, warn } from "./check/finding.ts";
import { checkHttp } from "./check/http.ts";
import { checkKeys } from "./check/keys.ts";
import { checkModels } from "./check/models.ts";
import { renderFindings } from "./check/screen.ts";
import { checkSpace, checkWriting } from "./check/storage.ts";
import { checkClock, checkMemory, checkSystem, readClock } from "./check/system.ts";
import { checkTrust } from "./check/trust.ts";
import { configFile, loadFor } from "./load-configuration.ts";
import { answer, configOption, type Define, type Io, jsonOption } from "./verb.ts";

type Options = { config?: string; json?: boolean; bench?: boolean };

/** Width where nobody says how wide the screen is. */
const plainColumns = 110;

export const define: Define = (command, io) => {
  command
    .option(...configOption)
    .option(...jsonOption)
    .option("--bench", "measure, too: disk, sealing, each model, the way to the site's broker (a few seconds)")
    .addHelpText(
      "after",
      "\nExample: tidegate check --config ./tidegate.yaml\nIt changes nothing and may run beside the daemon; with --bench it is best run alone. Ends with 1 when something fails.\nRun it as the user that runs the daemon: sudo -u tidegate tidegate check",
    )
    .action(async (options: Options) => {
      const checks = await collectFindings(io, options);
      if (options.json) io.out(JSON.stringify({ checks }));
      else for (const line of renderFindings(checks, io.interactive ? io.columns : plainColumns)) io.out(line);
      if (checks.some(({ level }) => level === "fail")) answer(1);
    });
};

/** Everything that is looked at before a start. */
export async function collectFindings(io: Io, options: Options): Promise<Finding[]> {
  const system = checkSystem();
  if (system.level === "fail") return [system];
  const clock = checkClock(await readClock());
  let loaded: LoadedConfig;
  try {
    loaded = loadFor(io, options);
  } catch (thrown) {
    // What needs no configuration is told all the same.
    return [configurationFault(thrown), system, checkMemory(readProfile(detectProfile())), clock];
  }
  const { config, profile } = loaded;
  const credentialsDir = io.env.CREDENTIALS_DIRECTORY;
  const brokers = checkBrokers(config, credentialsDir);
  const models = checkModels(config, io.signal);
  const findings = [
    configuration(loaded, configFile(io, options)),
    checkKeys(io, config.gateway.dataDir),
    ...(await brokers),
    ...(await models),
    checkHttp(config),
    await checkTrust(loaded),
    checkSpace(config),
    checkWriting(config),
    clock,
    checkMemory(profile),
    system,
  ];
  if (!options.bench) return findings;
  const { bench } = await import("./check/bench.ts");
  return [...findings, ...(await bench(io, loaded))];
}

function configuration({ config, profile }: LoadedConfig, file: string): Finding {
  const names = Object.keys(config.streams);
  const detail = `${file}: gateway ${config.gateway.id}, profile ${profile.name}, streams: ${names.join(", ") || "none"}`;
  return names.length === 0
    ? warn("configuration", detail, "`tidegate discover` proposes streams from what the broker carries.")
    : ok("configuration", detail);
}

/** Every fault with its place, since one may hide behind another. */
function configurationFault(thrown: unknown): Finding {
  const finding = fail("configuration", thrown);
  const faults = thrown instanceof TidegateError && Array.isArray(thrown.facts.faults) ? thrown.facts.faults : [];
  const lines = faults.map(({ path, line, column, message }) => {
    const place = line === undefined ? "" : `line ${line}, column ${column}: `;
    return `${place}${path ? `${path}: ` : ""}${message}`;
  });
  return { ...finding, detail: [finding.detail, ...lines].join("\n") };
}

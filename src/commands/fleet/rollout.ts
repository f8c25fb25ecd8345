import { resolve } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { parseDuration } from "../../base/units.ts";
import type { Rollout } from "../../coordinator/rollout-plan.ts";
import type { VersionRelease } from "../coordinator/version-release.ts";
import { type Define, type Io, jsonOption, numberOption } from "../verb.ts";
import { ask, coordinatorOption, type FleetOptions } from "./ask.ts";

type StartOptions = FleetOptions & {
  stages: string;
  wait: string;
  minReports: number;
  maxFailed: number;
  parent: string[];
  above: number;
  version?: string;
  back?: boolean;
};

/** `tidegate fleet rollout`. */
export const defineRollout: Define = (command, io) => {
  command
    .command("start")
    .description(
      "bring a version of a model to the fleet, stage by stage; it is halted by itself when gateways go back",
    )
    .argument("<what>", "folder of the bundle, on the coordinator's machine; with --version the name of the model")
    .option("--version <n>", 'a version that rounds have led to; "newest": the newest')
    .option("--stages <shares>", "share of the fleet in each stage", "0.1,0.5,1")
    .option("--wait <duration>", "shortest time of a stage", "10m")
    .option(
      "--min-reports <n>",
      "gateways that must run it before the next stage",
      numberOption("--min-reports", { min: 1, integer: true }),
      1,
    )
    .option(
      "--max-failed <share>",
      "share that may refuse it or go back",
      numberOption("--max-failed", { max: 1 }),
      0.1,
    )
    .option("--parent <folder>", "an earlier version that gateways have: the difference is offered too", repeated, [])
    .option("--above <n>", "version of a manifest that `model push` has published", numberOption("--above"), 0)
    .option("--back", "take it although it is older than what runs, all at once")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExamples: tidegate fleet rollout start ./mote-anomaly --stages 0.05,0.25,1 --wait 1h\n          tidegate fleet rollout start mote-anomaly --version newest",
    )
    .action(async (what: string, options: StartOptions) => {
      const stages = options.stages.split(",").map(Number);
      if (stages.some((share) => !(share > 0 && share <= 1)))
        throw new TidegateError("USAGE", { detail: `--stages takes shares between 0 and 1, not "${options.stages}"` });
      const wait = parseDuration(options.wait);
      if (wait === undefined)
        throw new TidegateError("USAGE", { detail: `--wait ${options.wait} is no duration, like "10m"` });
      const learned =
        options.version === undefined ? null : await release(io, options, { model: what, version: options.version });
      const { minReports, maxFailed, above } = options;
      const rollout = await ask<Rollout>(io, options, "fleet.rollout.start", {
        ...{
          dir: learned?.dir ?? resolve(what),
          parents: [...options.parent.map((dir) => resolve(dir)), ...(learned ? [learned.parent] : [])],
          isForced: options.back === true,
        },
        ...{ stages, wait, minReports, maxFailed, above },
      });
      io.out(options.json ? JSON.stringify(rollout) : said(rollout));
    });
  for (const [verb, description] of [
    ["halt", "no gateway begins with the version any more; those that have it keep it"],
    ["resume", "go on where a rollout was halted"],
  ] as const) {
    command
      .command(verb)
      .description(description)
      .argument("<model>", "name of the model")
      .option(...coordinatorOption)
      .option(...jsonOption)
      .addHelpText("after", `\nExample: tidegate fleet rollout ${verb} mote-anomaly`)
      .action(async (model: string, options: FleetOptions) => {
        const rollout = await ask<Rollout>(io, options, `fleet.rollout.${verb}`, { model });
        io.out(options.json ? JSON.stringify(rollout) : said(rollout));
      });
  }
};

/** `tidegate fleet release`. */
export const defineRelease: Define = (command, io) => {
  command
    .argument("[model]", "needed when the coordinator has several")
    .option("--version <n>", 'a version that rounds have led to; "newest": the newest', "newest")
    .requiredOption("--out <folder>", "where the bundle goes, on the coordinator's machine")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet release mote-anomaly --version 21 --out ./mote-anomaly-21")
    .action(async (model: string | undefined, options: FleetOptions & { version: string; out: string }) => {
      const { version, out } = options;
      const made = await release(io, options, {
        ...(model === undefined ? {} : { model }),
        version,
        out: resolve(out),
      });
      io.out(options.json ? JSON.stringify(made) : `${made.model} ${made.version} is in ${made.dir}.`);
    });
};

function release(
  io: Io,
  options: FleetOptions,
  { version, ...rest }: { model?: string; version: string; out?: string },
): Promise<VersionRelease> {
  if (version !== "newest" && !/^[1-9][0-9]{0,8}$/.test(version))
    throw new TidegateError("USAGE", { detail: `--version takes a number or "newest", not "${version}"` });
  const named = version === "newest" ? {} : { version: Number(version) };
  return ask<VersionRelease>(io, options, "fleet.release", { ...rest, ...named });
}

const repeated = (value: string, before: string[]): string[] => [...before, value];

const said = ({ model, version, state, stage, rule }: Rollout): string =>
  `${model} ${version}: ${state}, stage ${stage + 1} of ${rule.stages.length} (${100 * (rule.stages[stage] ?? 1)} % of the fleet).`;

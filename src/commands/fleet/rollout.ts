import { resolve } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { parseDuration } from "../../base/units.ts";
import type { Rollout } from "../../coordinator/rollout-plan.ts";
import { type Define, jsonOption, numberOption } from "../verb.ts";
import { ask, coordinatorOption, type FleetOptions } from "./ask.ts";

type StartOptions = FleetOptions & {
  stages: string;
  wait: string;
  minReports: number;
  maxFailed: number;
  parent: string[];
  above: number;
  back?: boolean;
};

/** `tidegate fleet rollout`. */
export const defineRollout: Define = (command, io) => {
  command
    .command("start")
    .description(
      "bring a version of a model to the fleet, stage by stage; it is halted by itself when gateways go back",
    )
    .argument("<folder>", "the bundle, on the coordinator's machine")
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
    .addHelpText("after", "\nExample: tidegate fleet rollout start ./mote-anomaly --stages 0.05,0.25,1 --wait 1h")
    .action(async (folder: string, options: StartOptions) => {
      const stages = options.stages.split(",").map(Number);
      if (stages.some((share) => !(share > 0 && share <= 1)))
        throw new TidegateError("USAGE", { detail: `--stages takes shares between 0 and 1, not "${options.stages}"` });
      const wait = parseDuration(options.wait);
      if (wait === undefined)
        throw new TidegateError("USAGE", { detail: `--wait ${options.wait} is no duration, like "10m"` });
      const { minReports, maxFailed, above } = options;
      const rollout = await ask<Rollout>(io, options, "fleet.rollout.start", {
        ...{
          dir: resolve(folder),
          parents: options.parent.map((dir) => resolve(dir)),
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

const repeated = (value: string, before: string[]): string[] => [...before, value];

const said = ({ model, version, state, stage, rule }: Rollout): string =>
  `${model} ${version}: ${state}, stage ${stage + 1} of ${rule.stages.length} (${100 * (rule.stages[stage] ?? 1)} % of the fleet).`;

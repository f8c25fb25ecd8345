import { TidegateError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";
import { renderCharts } from "./demo/charts.ts";
import { Demo } from "./demo/demo.ts";
import { type Define, type Io, jsonOption, numberOption, OptionFault } from "./verb.ts";

type Options = {
  readonly duration?: string;
  readonly speed?: number;
  readonly json?: boolean;
  readonly fleet?: number | true;
  readonly rounds?: number;
  readonly scenario?: string;
  readonly split?: string;
};

const defaultGateways = 4;
/** Whole gateways, each with a model process: more of them are for `fleet simulate`. */
const maxWholeGateways = 16;
const maxGateways = 1_000;
/** Gateways where none are asked for, and another number shows more. */
const usual: Readonly<Record<string, number>> = { digits: 100 };

export const define: Define = (command, io) => {
  command
    .option("--duration <time>", "end after this time, with all readings replayed by then (default: 60s)")
    .option(
      "--speed <times>",
      "replay so many times faster than the sensors were; 0: as fast as it goes",
      numberOption("--speed"),
    )
    .option(
      "--fleet [gateways]",
      `a fleet that learns together (default: ${defaultGateways} gateways, of digits 100)`,
      numberOption("--fleet", { min: 1, max: maxGateways, integer: true }),
    )
    .option("--scenario <name>", "what the fleet learns: motes, linear or digits (default: motes)")
    .option("--rounds <n>", "rounds of the fleet", numberOption("--rounds", { min: 1, integer: true }))
    .option("--split <kind>", "of the digits over the gateways: iid or two-shard (default: iid)")
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate demo --duration 30s --json\n         tidegate demo --fleet 4\n         tidegate demo --fleet 4 --scenario linear\nEverything runs on this machine and in a temporary directory, which is removed at the end.",
    )
    .action(async (options: Options) => {
      if (options.fleet !== undefined || options.scenario !== undefined) return showFleet(io, options);
      const durationMs = options.duration === undefined ? undefined : parseDuration(options.duration);
      if (options.duration !== undefined && durationMs === undefined)
        throw new OptionFault("--duration", options.duration, "a time such as 30s");
      const demo = new Demo({
        io,
        ...(durationMs === undefined ? {} : { durationMs }),
        ...(options.speed === undefined ? {} : { speed: options.speed }),
      });
      const outcome = await demo.run();
      if (!options.json) for (const line of renderCharts(outcome, Math.min(io.columns, 100))) io.out(line);
      else io.out(JSON.stringify(outcome.summary));
    });
};

/** The scenarios of a fleet; each is loaded when it is asked for. */
const scenarios: Readonly<Record<string, (options: FleetOptions) => Promise<object>>> = {
  motes: async (options) => {
    if (options.gateways > maxWholeGateways)
      throw new TidegateError("USAGE", {
        detail: `--fleet ${options.gateways}: whole gateways are shown up to ${maxWholeGateways}; \`tidegate fleet simulate\` has more`,
      });
    return (await import("./demo/fleet/mote-demo.ts")).moteDemo(options);
  },
  linear: async (options) => (await import("./demo/fleet/linear-demo.ts")).linearDemo(options),
  digits: async (options) => (await import("./demo/fleet/digits-demo.ts")).digitsDemo(options),
};

type FleetOptions = {
  readonly io: Io;
  readonly isJson: boolean;
  readonly gateways: number;
  readonly rounds?: number;
  readonly split?: string;
};

async function showFleet(io: Io, { fleet, scenario = "motes", rounds, split, json }: Options): Promise<void> {
  const show = scenarios[scenario];
  if (!show) throw new OptionFault("--scenario", scenario, `one of ${Object.keys(scenarios).join(", ")}`);
  const told = await show({
    ...{
      io,
      isJson: json === true,
      gateways: typeof fleet === "number" ? fleet : (usual[scenario] ?? defaultGateways),
    },
    ...(rounds === undefined ? {} : { rounds }),
    ...(split === undefined ? {} : { split }),
  });
  if (json) io.out(JSON.stringify(told));
}

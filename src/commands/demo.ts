import { parseDuration } from "../base/units.ts";
import { renderCharts } from "./demo/charts.ts";
import { Demo } from "./demo/demo.ts";
import { type Define, jsonOption, numberOption, OptionFault } from "./verb.ts";

export const define: Define = (command, io) => {
  command
    .option("--duration <time>", "end after this time, with all readings replayed by then (default: 60s)")
    .option(
      "--speed <times>",
      "replay so many times faster than the sensors were; 0: as fast as it goes",
      numberOption("--speed"),
    )
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate demo --duration 30s --json\nEverything runs on this machine and in a temporary directory, which is removed at the end.",
    )
    .action(async (options: { duration?: string; speed?: number; json?: boolean }) => {
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

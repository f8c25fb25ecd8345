import type { Command } from "commander";
import { configOption, jsonOption } from "../verb.ts";
import type { FileOptions } from "./training-data.ts";

/** Which examples a verb works on, and what every verb of models takes. */
export type DataOptions = {
  config?: string;
  json?: boolean;
  dir?: string;
  stream?: string;
  data?: string[];
  time?: string;
  source?: string;
  event?: string;
};

/** @param doing  what is done with the examples: "it is trained on" */
export function withDataOptions(command: Command, doing: string): Command {
  return command
    .option("--stream <name>", `stream whose readings ${doing} (default: the first that runs it)`)
    .option(
      "--data <files...>",
      "files instead of the buffer: CSV or NDJSON (texts: columns text and label), IDX, or plain text",
    )
    .option("--time <column>", "column of the time in these files")
    .option("--source <column>", "column that tells one sensor from another")
    .option("--event <column>", "column that is not 0 during an event")
    .option(...configOption)
    .option(...jsonOption)
    .option("--dir <folder>", "folder of model bundles, looked at before those of the configuration");
}

/** The files that were named, and their columns; undefined: the buffer. */
export function filesOf({ data, time, source, event }: DataOptions): Omit<FileOptions, "seed"> | undefined {
  if (!data) return undefined;
  return {
    data,
    ...(time === undefined ? {} : { time }),
    ...(source === undefined ? {} : { source }),
    ...(event === undefined ? {} : { event }),
  };
}

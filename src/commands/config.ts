import { reasonOf } from "../base/errors.ts";
import { configJsonSchema } from "../config/json-schema.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import { defineAcl } from "./config/acl.ts";
import { differences, valueLines, writtenValues } from "./config/effective-values.ts";
import { readOverlayInForce } from "./config/overlay-access.ts";
import { defineRemote } from "./config/remote.ts";
import { setInFile } from "./config/set-in-file.ts";
import { unsetInFile } from "./config/unset-in-file.ts";
import { configFile, loadFor } from "./load-configuration.ts";
import { loadGateway } from "./run/load-gateway.ts";
import { answer, configOption, type Define, type Io, jsonOption } from "./verb.ts";

type Options = { config?: string; json?: boolean };

/** With what came from afar, where this user may see it; else without, and said. */
async function loadInForce(io: Io, options: Options): Promise<LoadedConfig> {
  const own = loadFor(io, options);
  try {
    const overlay = await readOverlayInForce(io, own);
    return overlay === null ? own : loadFor(io, options, {}, overlay);
  } catch (thrown) {
    io.err(`What came from afar is not shown: ${reasonOf(thrown)}`);
    return own;
  }
}

export const define: Define = (command, io) => {
  defineRemote(command, io);
  const print = (value: unknown) => io.out(JSON.stringify(value));

  command
    .command("get")
    .description("print the configuration as it is in force: file, profile, environment and defaults together")
    .argument("[path]", "a key or a section, such as buffer.commitMaxDelay or streams.env")
    .option(...configOption)
    .option(...jsonOption)
    .option("--origin", "tell where each value comes from: default, profile, file, environment or remote")
    .addHelpText("after", "\nExample: tidegate config get buffer --origin")
    .action(async (path: string | undefined, options: Options & { origin?: boolean }) => {
      const values = writtenValues(await loadInForce(io, options), path);
      if (!options.json) for (const line of valueLines(values, options.origin === true)) io.out(line);
      else if (options.origin) print(values.byPath);
      else print(values.tree);
    });

  command
    .command("set")
    .description("change one value in the configuration file; comments stay, and a value with faults is refused")
    .argument("<path>", "key, such as buffer.maxBytes")
    .argument("<value>", "as one would write it in the file: 512MiB, true, [results, raw]")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate config set buffer.maxBytes 512MiB\nThe running daemon takes it up when it reloads: systemctl reload tidegate.",
    )
    .action(async (path: string, value: string, options: Options) => {
      const file = configFile(io, options);
      const change = await setInFile(file, path, value, io.env);
      if (change.overriddenBy !== null)
        io.err(`The ${change.overriddenBy} gives ${path} another value, which is the one in force.`);
      if (options.json) print({ file, ...change });
      else io.out(`${file}: ${path} is now ${JSON.stringify(change.to)}, before ${JSON.stringify(change.from)}`);
    });

  command
    .command("unset")
    .description(
      "take one key or section out of the configuration file, so that profile or default decide; comments stay",
    )
    .argument("<path>", "key or section, such as buffer.maxBytes")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate config unset buffer.maxBytes")
    .action(async (path: string, options: Options) => {
      const file = configFile(io, options);
      const removal = await unsetInFile(file, path, io.env);
      const { from, inForce } = removal;
      const now = inForce ? `; in force is ${JSON.stringify(inForce.value)} (${inForce.origin})` : "";
      if (options.json) print({ file, ...removal });
      else if (from === null) io.out(`${file}: ${path} does not stand there: nothing to take out${now}`);
      else io.out(`${file}: ${path} is gone, before ${JSON.stringify(from)}${now}`);
    });

  command
    .command("validate")
    .description("find every fault of the configuration, those between streams and models included (exit 78)")
    .argument("[file]", "instead of --config")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate config validate ./tidegate.yaml")
    .action(async (file: string | undefined, options: Options) => {
      const loaded = loadGateway(io, file === undefined ? options : { config: file });
      const { modelFaults } = await import("./config/model-faults.ts");
      await modelFaults(loaded);
      const { gateway, streams } = loaded.config;
      const count = Object.keys(streams).length;
      if (options.json) print({ file: loaded.file, valid: true, profile: gateway.profile, streams: count });
      else
        io.out(`${loaded.file} has no faults: gateway ${gateway.id}, profile ${gateway.profile}, ${count} stream(s)`);
    });

  command
    .command("diff")
    .description("what differs from another file, or from the defaults of this device (exit 1 when something does)")
    .argument("[file]", "the other configuration; without it: the defaults")
    .option("--remote", "what came from afar changes here")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate config diff ./new.yaml")
    .action(async (other: string | undefined, options: Options & { remote?: boolean }) => {
      const here = loadFor(io, options);
      const inForce = options.remote ? await loadInForce(io, options) : null;
      const there = other === undefined ? inForce : loadConfig({ file: other, env: io.env });
      const found = differences(here, there);
      if (options.json) print({ file: here.file, other: other ?? null, differences: found });
      else
        for (const { path, from, to } of found) {
          if (from !== undefined) io.out(`- ${path}: ${JSON.stringify(from)}`);
          if (to !== undefined) io.out(`+ ${path}: ${JSON.stringify(to)}`);
        }
      if (found.length > 0) answer(1);
    });

  defineAcl(command, io);

  command
    .command("schema")
    .description("print the JSON Schema of the configuration, for editors")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate config schema > tidegate.schema.json")
    .action((options: Options) => {
      io.out(JSON.stringify(configJsonSchema(), null, options.json ? 0 : 2));
    });
};

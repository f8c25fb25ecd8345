import { writeFileSync } from "node:fs";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { collectFindings } from "./check.ts";
import { collectBundle, noChecks } from "./diag/bundle.ts";
import { loadFor } from "./load-configuration.ts";
import { configOption, type Define, jsonOption } from "./verb.ts";

export const define: Define = (command, io) => {
  command
    .command("collect")
    .description("write a support bundle: versions, configuration, checks, status, metrics, recent log; no secrets")
    .argument("[file]", "JSON file to write; it must not be there yet (default: tidegate-diag-GATEWAY-TIME.json)")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate diag collect ./bundle.json\nKeys, passwords and tokens are left out; names of streams, topics and sources are in it, readings are not. Look through\nit before you send it on. journald has more of the log: journalctl -u tidegate.",
    )
    .action(async (file: string | undefined, options: { config?: string; json?: boolean }) => {
      const loaded = loadFor(io, options);
      const time = new Date().toISOString().replace(/[:-]|\.\d+/g, "");
      const target = file ?? `tidegate-diag-${loaded.config.gateway.id}-${time}.json`;
      const checks = await collectFindings(io, options).catch(noChecks);
      const text = await collectBundle(io, loaded, checks);
      try {
        writeFileSync(target, text, { flag: "wx", mode: 0o600 });
      } catch (cause) {
        throw new TidegateError("FILE_UNWRITABLE", { file: target, reason: reasonOf(cause) }, { cause });
      }
      if (options.json) io.out(JSON.stringify({ file: target, bytes: Buffer.byteLength(text) }));
      else
        io.out(`${target}: ${Math.ceil(Buffer.byteLength(text) / 1024)} KiB. Look through it before you send it on.`);
    });
};

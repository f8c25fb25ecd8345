import type { Command } from "commander";
import { parseDuration, renderDuration } from "../../base/units.ts";
import { loadForOperator, type OperatorOptions, operatorOptions } from "../cloud/operator.ts";
import { sendCommand } from "../cloud/send-command.ts";
import { loadFor } from "../load-configuration.ts";
import { answer, configOption, type Io, jsonOption, OptionFault } from "../verb.ts";
import { resetOverlay } from "./overlay-access.ts";
import { pushConfig, readOverlay } from "./push.ts";

type PushOptions = OperatorOptions & { json?: boolean; dryRun?: boolean; wait: number };

const durationOption = (text: string): number => {
  const ms = parseDuration(text);
  if (ms === undefined) throw new OptionFault("--wait", text, "a duration such as 90s");
  return ms;
};

/** Adds the verbs of the configuration that comes from afar. */
export function defineRemote(command: Command, io: Io): void {
  command
    .command("push")
    .description(
      "sign a change of configuration and send it to gateways; each tries it and goes back by itself (exit 1 when one did)",
    )
    .argument("<file>", "YAML with the keys that change")
    .requiredOption(...operatorOptions.to)
    .requiredOption(...operatorOptions.key)
    .option(...operatorOptions.broker)
    .option(...operatorOptions.fleet)
    .option("--dry-run", "ask every gateway what would be wrong with it; nothing changes")
    .option("--wait <duration>", "how long to wait for what becomes of it", durationOption, 120_000)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate config push alarm.yaml --to gw-1 gw-2 --key operator/keys/signing.key --dry-run",
    )
    .action(async (file: string, options: PushOptions) => {
      const overlay = readOverlay(file);
      const loaded = loadForOperator(io, options);
      const answers = options.dryRun
        ? (
            await sendCommand(io, loaded, options, {
              ...{ name: "config.check", params: { config: overlay }, isDestructive: false, waitMs: options.wait },
            })
          ).map(({ gateway, status, reason, result }) => {
            const { errors = [] } = (result ?? {}) as { errors?: { path: string; message: string }[] };
            const isFit = status === "successful" && errors.length === 0;
            return { gateway, outcome: isFit ? "fits" : "faults", ...(reason === undefined ? {} : { reason }), errors };
          })
        : await pushConfig(io, loaded, options, overlay, options.wait);
      if (answers.some(({ outcome }) => outcome !== "committed" && outcome !== "fits")) answer(1);
      if (options.json) return io.out(JSON.stringify(answers));
      for (const { gateway, outcome, reason, errors = [] } of answers) {
        io.out(`${gateway}: ${outcome}${reason === undefined ? "" : ` (${reason})`}`);
        for (const { path, message } of errors) io.out(`  ${path}: ${message}`);
      }
      if (answers.some(({ outcome }) => outcome === "pending" || outcome === "trial"))
        io.err(
          `Not all have ended their trial within ${renderDuration(options.wait)}: their twin/reported tells later.`,
        );
    });

  command
    .command("reset-remote")
    .description("break the glass: what came from afar is no longer in force on this gateway")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate config reset-remote\nThe same version does not come back; a newer one is taken again. Take `policy` out of the file to end that.",
    )
    .action(async (options: { config?: string; json?: boolean }) => {
      await resetOverlay(io, loadFor(io, options));
      if (options.json) io.out(JSON.stringify({ reset: true }));
      else io.out("The site's own configuration is in force.");
    });
}

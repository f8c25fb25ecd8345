import type { Command } from "commander";
import { parse } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { parseDuration } from "../../base/units.ts";
import { loadForOperator, operatorOptions } from "../cloud/operator.ts";
import { signerOption } from "../cloud/operator-keys.ts";
import { sendCommand } from "../cloud/send-command.ts";
import { answer, configOption, type Io, jsonOption, OptionFault } from "../verb.ts";

type Options = {
  config?: string;
  broker?: string;
  fleet?: string;
  json?: boolean;
  key: string[];
  param: string[];
  wait: number;
};

/** `tidegate fleet command`. */
export function defineCommand(fleet: Command, io: Io): void {
  fleet
    .command("command")
    .description("sign a command and send it to a gateway; prints what it says of it (exit 1: it was not done)")
    .argument("<gateway>", "id of the gateway")
    .argument("<name>", "the command, such as data.erase")
    .option(
      "--param <name=value>",
      "of the command, its value as in YAML; may be repeated",
      (param: string, before: string[]) => [...before, param],
      [] as string[],
    )
    .option(...signerOption)
    .option(...operatorOptions.broker)
    .option(...operatorOptions.fleet)
    .option(
      "--wait <duration>",
      "how long to wait for how it ends",
      (text: string) => {
        const ms = parseDuration(text);
        if (ms === undefined) throw new OptionFault("--wait", text, "a duration such as 90s");
        return ms;
      },
      120_000,
    )
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate fleet command gw-1 data.erase --param stream=env --key ops/keys/signing.key\nThe gateway's policy decides who may command what; docs/guides/policy.md lists the commands.",
    )
    .action(async (gateway: string, name: string, options: Options) => {
      const params = paramsOf(options.param);
      const [last] = await sendCommand(
        io,
        loadForOperator(io, { ...options, to: [gateway] }),
        { ...options, to: [gateway] },
        {
          ...{ name, params, waitMs: options.wait },
          // Whether it destroys anything is the gateway's to say: a challenge that is not asked for does no harm.
          isDestructive: true,
          onStatus: (status) => tell(io, status, options.json === true),
        },
      );
      if (last?.status === "successful") return;
      answer(1);
    });
}

function tell(io: Io, status: { gateway: string; status: string; reason?: string; result?: unknown }, isJson: boolean) {
  if (isJson) return io.out(JSON.stringify(status));
  const { gateway, status: word, reason, result } = status;
  io.out(`${gateway}: ${word}${reason === undefined ? "" : ` (${reason})`}`);
  if (result !== undefined && result !== null) io.out(JSON.stringify(result, null, 2));
}

/** @throws TidegateError USAGE */
function paramsOf(words: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw new TidegateError("USAGE", { detail: `--param ${word} is not of the form name=value` });
      try {
        return [word.slice(0, at), parse(word.slice(at + 1)) as unknown];
      } catch (thrown) {
        throw new TidegateError("USAGE", { detail: `--param ${word}: ${reasonOf(thrown)}` });
      }
    }),
  );
}

import { exitCodes, TidegateError } from "../base/errors.ts";
import { parseDuration } from "../base/units.ts";
import type { FleetStatus } from "./coordinator/fleet-handlers.ts";
import { ask, coordinatorOption, type FleetOptions as Options } from "./fleet/ask.ts";
import { defineCommand } from "./fleet/command.ts";
import { type RoundHistory, renderHistory } from "./fleet/history.ts";
import { joinFleet } from "./fleet/join.ts";
import { defineRelease, defineRollout } from "./fleet/rollout.ts";
import { renderFleet } from "./fleet/screen.ts";
import { defineSimulate } from "./fleet/simulate.ts";
import { answer, type Define, configOption as gatewayConfigOption, type Io, jsonOption, numberOption } from "./verb.ts";

export const define: Define = (command, io) => {
  command
    .command("status")
    .description("who is in the fleet, which coordinator leads, how the rounds stand")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet status")
    .action(async (options: Options) => {
      const status = await ask<FleetStatus>(io, options, "fleet.status");
      if (options.json) return io.out(JSON.stringify(status));
      for (const line of renderFleet(status, Date.now())) io.out(line);
    });

  defineCommand(command, io);

  const rounds = command.command("rounds").description("start | stop | history");
  defineRounds(rounds, io);
  defineSimulate(command, io);

  defineRollout(command.command("rollout").description("start | halt | resume"), io);

  defineRelease(command.command("release").description("write a version that was learned as a bundle"), io);

  command
    .command("enroll")
    .description("take a gateway into the fleet, or make a token with which one may join by itself")
    .argument("[gateway]", "id of the gateway")
    .option("--key <base64>", "its public signing key, as `tidegate keys show` on it prints it")
    .option("--token", "print a token that is good for one gateway, once")
    .option("--expires <duration>", "how long the token is good for", "24h")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate fleet enroll gw-7 --key 'MCow…'\nWithout --key the gateway must have asked: `tidegate fleet status` lists who did. `fleet enroll --token` prints a token\nfor any new gateway, `fleet enroll gw-7 --token` one for gw-7 alone.",
    )
    .action(
      async (gateway: string | undefined, options: Options & { key?: string; token?: boolean; expires: string }) => {
        if (options.token) return token(io, gateway ?? null, options);
        if (gateway === undefined)
          throw new TidegateError("USAGE", { detail: "name the gateway, or ask for a --token" });
        const { key } = options;
        const taken = await ask<{ key: string }>(io, options, "fleet.enroll", { gateway, ...(key ? { key } : {}) });
        io.out(options.json ? JSON.stringify(taken) : `${gateway} is in the fleet, with the key ${taken.key}.`);
      },
    );

  command
    .command("join")
    .description("on a gateway: ask the coordinator to take it in (exit 1: not yet, or no)")
    .option("--token <token>", "as `tidegate fleet enroll --token` printed it; without one an operator has to say yes")
    .option(...gatewayConfigOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet join --token 6Zk…")
    .action(async (options: Options & { token?: string }) => {
      const answered = await joinFleet(io, options);
      if (answered.status !== "enrolled") answer(exitCodes.no);
      if (options.json) return io.out(JSON.stringify(answered));
      io.out(joinTexts[answered.status] + (answered.reason === undefined ? "" : ` (${answered.reason})`));
    });

  command
    .command("remove")
    .description("take a gateway out of the fleet: what it sends from now on is refused")
    .argument("<gateway>", "id of the gateway")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate fleet remove gw-7\nIts updates that were accepted before stay in the model.",
    )
    .action(async (gateway: string, options: Options) => {
      const removed = await ask(io, options, "fleet.remove", { gateway });
      io.out(options.json ? JSON.stringify(removed) : `${gateway} is no member any more.`);
    });
};

const joinTexts = {
  enrolled: "This gateway is a member of the fleet.",
  waiting: "It waits for an operator: `tidegate fleet enroll` at the coordinator.",
  refused: "The coordinator does not take it in",
} as const;

async function token(io: Io, gateway: string | null, options: Options & { expires: string }): Promise<void> {
  const expiresMs = parseDuration(options.expires);
  if (!expiresMs)
    throw new TidegateError("USAGE", { detail: `--expires ${options.expires} is no duration, like "24h"` });
  const made = await ask<{ token: string; expiresAt: number }>(io, options, "fleet.token", { gateway, expiresMs });
  if (options.json) return io.out(JSON.stringify(made));
  io.out(made.token);
  const whom = gateway ?? "one new gateway";
  io.err(`Good for ${whom}, once, until ${new Date(made.expiresAt).toISOString()}. It is shown this once.`);
}

const defineRounds: Define = (command, io) => {
  command
    .command("start")
    .description("open rounds of a model")
    .argument("[model]", "needed when the coordinator has several")
    .option(
      "--rounds <n>",
      "how many; -1: until they are stopped",
      numberOption("--rounds", { min: -1, integer: true }),
      1,
    )
    .option(
      "--from <version>",
      "go back to this version: the open round ends, and what came after the version is not gone on with",
      numberOption("--from", { min: 1, integer: true }),
    )
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet rounds start mote-anomaly --rounds 20")
    .action(async (model: string | undefined, options: Options & { rounds: number; from?: number }) => {
      const { rounds, from } = options;
      const asked = { model, rounds, ...(from === undefined ? {} : { from }) };
      const line = await ask<FleetStatus["models"][number]>(io, options, "fleet.rounds.start", asked);
      io.out(options.json ? JSON.stringify(line) : `${line.model}: round ${line.round} is ${line.state}.`);
    });

  command
    .command("stop")
    .description("end the open round with what has come, when that is enough, and open no other")
    .argument("[model]", "needed when the coordinator has several")
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet rounds stop mote-anomaly")
    .action(async (model: string | undefined, options: Options) => {
      type Stopped = { model: string; round: number | null; state: string; discarded: number };
      const stopped = await ask<Stopped>(io, options, "fleet.rounds.stop", { model });
      if (options.json) return io.out(JSON.stringify(stopped));
      const lost = stopped.discarded > 0 ? `; ${stopped.discarded} updates were too few and are discarded` : "";
      io.out(`${stopped.model}: round ${stopped.round ?? "-"} is ${stopped.state}${lost}.`);
    });

  command
    .command("history")
    .description("rounds that were, with what gateways reported, as a chart")
    .argument("[model]", "needed when the coordinator has several")
    .option("--limit <n>", "the newest so many", numberOption("--limit", { min: 1, max: 10_000, integer: true }), 50)
    .option(...coordinatorOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate fleet rounds history mote-anomaly --limit 100")
    .action(async (model: string | undefined, options: Options & { limit: number }) => {
      const history = await ask<RoundHistory>(io, options, "fleet.rounds.history", { model, limit: options.limit });
      if (options.json) return io.out(JSON.stringify(history));
      for (const line of renderHistory(history, io.columns)) io.out(line);
    });
};

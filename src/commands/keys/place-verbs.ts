import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import { newHttpToken, readHttpToken } from "../../crypto/http-token.ts";
import { findKey } from "../../crypto/key-ring.ts";
import { adoptMachine } from "../../crypto/machine.ts";
import { configOption, type Io, jsonOption } from "../verb.ts";
import { askDaemon } from "./beside-daemon.ts";
import { handOver } from "./describe-keys.ts";
import { dirOption, type KeyOptions, placeFor } from "./place.ts";

/** `keys token`: what lets browsers and scrapers of other machines in. */
export function defineToken(command: Command, io: Io): void {
  command
    .command("token")
    .description("print the token of the HTTP server (dashboard, /metrics from afar); makes one where there is none")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .option("--new", "make another one: the one before it lets nobody in any more")
    .addHelpText(
      "after",
      '\nExample: curl -H "Authorization: Bearer $(tidegate keys token)" http://gw-1:8420/metrics\nBeside a running daemon it is asked for through the control socket, so membership of its group is enough.',
    )
    .action(async (options: KeyOptions & { new?: boolean }) => {
      const isNew = options.new === true;
      const told = await askDaemon<{ token: string }>(io, options, "keys.token", { isNew });
      let token = told?.token;
      if (token === undefined) {
        const { dataDir } = await placeFor(io, options);
        const known = isNew ? null : readHttpToken(dataDir);
        token = known ?? newHttpToken(dataDir);
        if (known === null) handOver(dataDir);
      }
      io.out(options.json ? JSON.stringify({ token }) : token);
    });
}

/** `keys adopt`: the card was moved to another device for good. */
export function defineAdopt(command: Command, io: Io): void {
  command
    .command("adopt")
    .description("say that keys and data were moved to this device for good; the device before must not run again")
    .option(...configOption)
    .option(...jsonOption)
    .option(...dirOption)
    .addHelpText(
      "after",
      "\nExample: tidegate keys adopt\nFor a replaced device whose card went on. A copy of a card that runs beside the first is no case for it: brokers throw\nthe two off in turn, and neither can be told from the other. Give the copy an empty data directory instead.",
    )
    .action(async (options: KeyOptions) => {
      const place = await placeFor(io, options);
      const { dataDir } = place;
      const { key, file } = findKey(place, "storage");
      if (!key) throw new TidegateError("KEYS_ABSENT", { file });
      adoptMachine({ dataDir, storageRoot: key });
      handOver(dataDir);
      if (options.json) return io.out(JSON.stringify({ dir: dataDir, adopted: true }));
      io.out(`${dataDir} now belongs to this device. The one before must not run with its copy again.`);
    });
}

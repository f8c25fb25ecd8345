import { checkErasure } from "../../buffer/erasure-request.ts";
import { parseMoment } from "../../gateway/buffer-export.ts";
import { loadFor } from "../load-configuration.ts";
import { configOption, type Define, jsonOption } from "../verb.ts";
import { confirm, eraseReadings } from "./erase-readings.ts";

type Options = {
  config?: string;
  json?: boolean;
  stream?: string;
  source?: string;
  before?: string;
  all?: boolean;
  yes?: boolean;
};

/** `tidegate buffer erase` */
export const defineErase: Define = (command, io) => {
  command
    .command("erase")
    .description("erase readings for good, with everything that was made of them here; gives a signed receipt")
    .option("--stream <name>", "readings of this stream")
    .option("--source <source>", "readings of this source, as it stands in topics; of all streams without --stream")
    .option("--before <time>", "readings from before this time: 2026-01-31T12:00:00Z, or ms since 1970")
    .option("--all", "all readings of all streams")
    .option("--yes", "do not ask")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate buffer erase --stream env --source mote1 --yes")
    .action(async ({ stream, source, before, all, yes, ...options }: Options) => {
      const request = {
        ...(stream === undefined ? {} : { stream }),
        ...(source === undefined ? {} : { source }),
        ...(before === undefined ? {} : { before: parseMoment(before) }),
        ...(all ? { all: true as const } : {}),
      };
      checkErasure(request);
      const loaded = loadFor(io, options);
      if (!yes) await confirm(request, io.signal);
      const signed = await eraseReadings(io, loaded, request);
      if (options.json) return io.out(JSON.stringify(signed));
      const { receipt, envelope } = signed;
      const { readings, outbox, deadLetters } = receipt.erased;
      io.out(`Erased ${readings} readings, ${outbox} messages owed to the cloud, ${deadLetters} dead letters.`);
      io.out(`Receipt ${receipt.version}, signed by ${envelope.signatures[0]?.keyid ?? ""}, is kept in state.db.`);
      io.out("Not reached:");
      for (const line of receipt.notReached) io.out(`  ${line}`);
    });
};

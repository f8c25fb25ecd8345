import { TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import { checkErasure } from "../../buffer/erasure.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { parseMoment } from "../../gateway/buffer-export.ts";
import { renderSent, type ToldErasure } from "../../gateway/told-erasure.ts";
import { loadFor } from "../load-configuration.ts";
import { configOption, type Define, type Io, jsonOption } from "../verb.ts";
import { confirm, eraseReadings } from "./erase-readings.ts";
import { openJournal } from "./journal-access.ts";

type Options = {
  config?: string;
  json?: boolean;
  stream?: string;
  source?: string;
  before?: string;
  all?: boolean;
  yes?: boolean;
  wait?: boolean;
};

const lookEveryMs = 500;
const maxLooked = 1_000;

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
    .option("--wait", "until the sink has confirmed that it has erased what it had, too")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate buffer erase --stream env --source mote1 --yes")
    .action(async ({ stream, source, before, all, yes, wait, ...options }: Options) => {
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
      const { receipt, envelope } = signed;
      const told = wait && receipt.isForwarded ? await confirmed(io, loaded, receipt.version) : null;
      if (options.json) return io.out(JSON.stringify({ ...signed, ...told }));
      const { readings, outbox, deadLetters } = receipt.erased;
      io.out(`Erased ${readings} readings, ${outbox} messages owed to the cloud, ${deadLetters} dead letters.`);
      io.out(`Receipt ${receipt.version}, signed by ${envelope.signatures[0]?.keyid ?? ""}, is kept in state.db.`);
      io.out(`Sent: ${renderSent(told ?? { receipt, sinkReceipt: null })}.`);
      io.out("Not reached:");
      for (const line of receipt.notReached) io.out(`  ${line}`);
    });
};

/**
 * Waits until the sink has confirmed an erasure; null without a daemon, which tells it when it runs.
 * @throws TidegateError STOPPED
 */
async function confirmed(io: Io, loaded: LoadedConfig, number: number): Promise<ToldErasure | null> {
  const access = await openJournal(io, loaded);
  try {
    while (access.isLive) {
      const found = (await access.erasures(maxLooked)).find((erasure) => erasure.number === number);
      if (found?.sinkReceipt) return found;
      await sleep(lookEveryMs, io.signal);
      if (io.signal.aborted)
        throw new TidegateError("STOPPED", { what: "waiting for the sink: it is told all the same" });
    }
    return null;
  } finally {
    access.close();
  }
}

import { renderSent } from "../../gateway/told-erasure.ts";
import { loadFor } from "../load-configuration.ts";
import { configOption, type Define, jsonOption } from "../verb.ts";
import { openJournal } from "./journal-access.ts";

/** `tidegate buffer erasures` */
export const defineErasures: Define = (command, io) => {
  command
    .command("erasures")
    .description("what has been erased, the newest first, with the receipts of this gateway and of the sink")
    .option("--limit <n>", "at most so many", "20")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate buffer erasures --json")
    .action(async ({ limit, ...options }: { limit: string; config?: string; json?: boolean }) => {
      const access = await openJournal(io, loadFor(io, options));
      try {
        const erasures = await access.erasures(Math.max(1, Number.parseInt(limit, 10) || 20));
        if (options.json) return io.out(JSON.stringify(erasures));
        if (erasures.length === 0) io.out("Nothing has been erased.");
        for (const erasure of erasures) {
          const { number, receipt } = erasure;
          const what = receipt
            ? `${receipt.issuedAt}  ${receipt.erased.readings} readings by ${receipt.by.join(", ")}; ${renderSent(erasure)}`
            : "under way";
          io.out(`${number}  ${what}`);
        }
      } finally {
        access.close();
      }
    });
};

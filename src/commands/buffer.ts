import { renderBytes } from "../base/units.ts";
import type { BufferStats } from "../buffer/commit.ts";
import { parseMoment } from "../gateway/buffer-export.ts";
import { defineErase } from "./buffer/erase.ts";
import { defineErasures } from "./buffer/erasures.ts";
import { printReadings } from "./buffer/export-readings.ts";
import { openJournal } from "./buffer/journal-access.ts";
import { defineMarks } from "./buffer/marks.ts";
import { loadFor } from "./load-configuration.ts";
import { renderTable } from "./terminal/table.ts";
import { configOption, type Define, jsonOption, OptionFault } from "./verb.ts";

type Options = { config?: string; json?: boolean };
type ExportOptions = Options & { stream: string; source?: string; from?: string; to?: string; format?: string };

export const define: Define = (command, io) => {
  command
    .command("stats")
    .description("what is in the buffer, by stream: readings, blocks, bytes, what was dropped; and the outbox")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate buffer stats --json")
    .action(async (options: Options) => {
      const journal = await openJournal(io, loadFor(io, options));
      try {
        const stats = await journal.stats();
        if (options.json) return io.out(JSON.stringify(stats));
        for (const line of statsLines(stats)) io.out(line);
      } finally {
        journal.close();
      }
    });

  command
    .command("export")
    .description("print the readings of a stream, one a line, in order of arrival; beside the daemon or without one")
    .requiredOption("--stream <name>", "stream to export")
    .option("--source <source>", 'only this source, as it stands in topics: "mote1", "hall/left"')
    .option("--from <time>", "readings from this time on: 2026-01-31T12:00:00Z, or ms since 1970")
    .option("--to <time>", "readings before this time")
    .option("--format <format>", "ndjson or csv", "ndjson")
    .option(...configOption)
    .option("--json", "the same as --format ndjson; a failure is printed as JSON, too")
    .addHelpText(
      "after",
      "\nExample: tidegate buffer export --stream env --from 2026-01-31 --format csv > env.csv\nTimes in the output are whole milliseconds since 1970, UTC.",
    )
    .action(async ({ stream, source, from, to, format = "ndjson", ...options }: ExportOptions) => {
      if (format !== "ndjson" && format !== "csv") throw new OptionFault("--format", format, "ndjson or csv");
      if (options.json && format !== "ndjson") throw new OptionFault("--format", format, "ndjson beside --json");
      const query = {
        stream,
        ...(source === undefined ? {} : { source }),
        ...(from === undefined ? {} : { from: parseMoment(from) }),
        ...(to === undefined ? {} : { to: parseMoment(to) }),
      };
      if (query.from !== undefined && query.to !== undefined && query.from >= query.to)
        throw new OptionFault("--to", String(to), "a time after that of --from");
      const loaded = loadFor(io, options);
      const journal = await openJournal(io, loaded);
      try {
        await printReadings(journal, query, format, loaded.config, io);
      } finally {
        journal.close();
      }
    });

  defineErase(command, io);
  defineErasures(command, io);
  defineMarks(command, io);
};

function* statsLines({ streams, outbox, ...rest }: BufferStats): Generator<string> {
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  const rows = Object.entries(streams).map(([name, { readings, blocks, tails, bytes, oldest, newest, dropped }]) => {
    const reasons = Object.entries(dropped).map(([reason, n]) => `${n} ${reason}`);
    const perReading = readings === 0 ? null : (bytes / readings).toFixed(1);
    return [
      ...[name, readings, blocks, tails, renderBytes(bytes), perReading],
      ...[time(oldest), time(newest), reasons.join(", ") || null],
    ];
  });
  yield* renderTable(
    ["stream", "readings", "blocks", "tails", "size", "bytes each", "oldest", "newest", "dropped"],
    rows,
  );
  yield "";
  const aside = rest.asideBytes > 0 ? `, set aside ${renderBytes(rest.asideBytes)}` : "";
  yield `File ${renderBytes(rest.fileBytes)}, write-ahead log ${renderBytes(rest.walBytes)}${aside}`;
  const age = outbox.messages > 0 ? `, the oldest for ${outbox.oldestAgeSeconds} s` : "";
  yield `Owed to the cloud: ${outbox.messages} messages${age}`;
  yield `Dead letters: ${rest.deadLetters}; pieces set apart as damaged: ${rest.quarantined}`;
}

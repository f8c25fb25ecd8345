import { ControlClient } from "../ops/control-client.ts";
import { type AuditLine, type JournalAccess, openJournal } from "./buffer/journal-access.ts";
import { loadFor } from "./load-configuration.ts";
import { controlSocket } from "./run/control-socket.ts";
import { renderTable } from "./terminal/table.ts";
import { answer, configOption, type Define, jsonOption, numberOption } from "./verb.ts";

type Options = { config?: string; json?: boolean };

/** Entries that are asked for at a time. */
const pageEntries = 500;

export const define: Define = (command, io) => {
  const withJournal = async (options: Options, work: (journal: JournalAccess) => Promise<void>) => {
    const journal = await openJournal(io, loadFor(io, options));
    try {
      await work(journal);
    } finally {
      journal.close();
    }
  };

  command
    .command("ls")
    .description("list what was decided, newest first: commands, configurations, models, exports, erasures")
    .option("--limit <n>", "at most so many", numberOption("--limit", { min: 1, max: 100_000, integer: true }), 50)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate audit ls --limit 10")
    .action((options: Options & { limit: number }) =>
      withJournal(options, async (journal) => {
        const entries: ReturnType<typeof factsOf>[] = [];
        for (let before: number | undefined; entries.length < options.limit; ) {
          const page = await journal.audit(Math.min(pageEntries, options.limit - entries.length), before);
          entries.push(...page.map(factsOf));
          before = page.at(-1)?.n;
          if (before === undefined) break;
        }
        if (options.json) return io.out(JSON.stringify(entries));
        if (entries.length === 0) return io.err("Nothing has been decided yet.");
        const rows = entries.map(({ n, at, what, outcome, name, by, reason }) => [
          ...[n, at === null ? null : new Date(at).toISOString(), what, outcome, name],
          ...[by.join(", ") || null, reason],
        ]);
        for (const line of renderTable(["n", "at", "what", "outcome", "name", "by", "reason"], rows)) io.out(line);
      }),
    );

  command
    .command("verify")
    .description("check that no entry was changed, moved or taken out; says where, and leaves with 1, when one was")
    .option("--head <n:hash>", "a head that the gateway told earlier (status document): its entry must still be here")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate audit verify --head 41:9f86d081884c7d65…")
    .action((options: Options & { head?: string }) =>
      withJournal(options, async (journal) => {
        const { entries, head, fault: found } = await journal.verifyAudit();
        const fault = found ?? (options.head === undefined ? null : await missingHead(journal, options.head));
        if (fault) answer(1);
        if (options.json) return io.out(JSON.stringify({ entries, head, fault }));
        if (fault) return io.out(`The audit log does not hold at entry ${fault.n}: ${fault.reason}.`);
        io.out(`${entries} entries hold; the last is ${head.n}:${head.hash}`);
      }),
    );

  command
    .command("anchor")
    .description("at the site: let state.db count as it is now, after it was lost or put back to an earlier copy")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate audit anchor\nUntil then nothing is taken from afar: what was accepted before is not known any more. Push configurations and models\nanew afterwards, so that none is taken that is older than what was here. The daemon has to run.",
    )
    .action(async (options: Options) => {
      const client = await ControlClient.connect(controlSocket(loadFor(io, options)));
      let anchored: { was: string | null };
      try {
        anchored = (await client.call("audit.anchor", {}, { signal: io.signal })) as typeof anchored;
      } finally {
        client.close();
      }
      if (options.json) return io.out(JSON.stringify(anchored));
      io.out(
        `What is signed is taken again${anchored.was === null ? "; nothing was wrong" : `; before: ${anchored.was}`}.`,
      );
    });
};

/** Whether the log still has the entry that an earlier head named: an older log that was put back has not. */
async function missingHead(journal: JournalAccess, told: string): Promise<{ n: number; reason: string } | null> {
  const [number = "", hash = ""] = told.split(":");
  const n = Number(number);
  if (n === 0) return null;
  const [entry] = await journal.audit(1, n + 1);
  if (entry?.n !== n) return { n, reason: "it was told by this gateway, and is not here" };
  return hash !== "" && entry.hash.startsWith(hash.replace(/…$/, ""))
    ? null
    : { n, reason: "its hash is another than was told" };
}

function factsOf({ n, hash, body }: AuditLine) {
  const said = (body === "" ? {} : JSON.parse(body)) as Partial<Record<string, unknown>>;
  return {
    n,
    hash,
    at: typeof said.at === "number" ? said.at : null,
    what: String(said.what ?? "?"),
    outcome: String(said.outcome ?? "?"),
    name: String(said.name ?? "?"),
    by: Array.isArray(said.by) ? said.by.map(String) : [],
    reason: said.reason === undefined ? null : String(said.reason),
    resource: said.resource ?? {},
    detail: said.detail ?? {},
  };
}

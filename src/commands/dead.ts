import { renderBytes } from "../base/units.ts";
import { type JournalAccess, openJournal } from "./buffer/journal-access.ts";
import {
  allLetters,
  idOption,
  idsOption,
  letterFacts,
  letterPayload,
  lettersById,
  lettersInOrder,
} from "./dead/letters.ts";
import { loadFor } from "./load-configuration.ts";
import { plain, renderTable } from "./terminal/table.ts";
import { answer, configOption, type Define, jsonOption, numberOption, OptionFault } from "./verb.ts";

type Options = { config?: string; json?: boolean };

const allOption = "every letter that there is";

export const define: Define = (command, io) => {
  const withJournal = async (options: Options, work: (journal: JournalAccess) => Promise<void>) => {
    const journal = await openJournal(io, loadFor(io, options));
    try {
      await work(journal);
    } finally {
      journal.close();
    }
  };
  const requireChoice = (ids: readonly number[], { all }: { all?: boolean }) => {
    if (ids.length > 0 === (all === true)) throw new OptionFault("this verb", ids.join(" "), "either ids or --all");
  };

  command
    .command("ls")
    .description("list dead letters, newest first: messages that no stream could take")
    .option("--limit <n>", "at most so many", numberOption("--limit", { min: 1, max: 100_000, integer: true }), 50)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate dead ls --limit 10")
    .action((options: Options & { limit: number }) =>
      withJournal(options, async (journal) => {
        const letters: ReturnType<typeof letterFacts>[] = [];
        for await (const letter of allLetters(journal, options.limit)) letters.push(letterFacts(letter));
        if (options.json) return io.out(JSON.stringify(letters));
        const rows = letters.map(({ id, receivedAt, stream, topic, size, code, reason }) => {
          return [id, new Date(receivedAt).toISOString(), stream, topic, renderBytes(size), code, reason];
        });
        if (rows.length === 0) return io.err("There are no dead letters.");
        for (const line of renderTable(["id", "received", "stream", "topic", "size", "code", "reason"], rows))
          io.out(line);
      }),
    );

  command
    .command("show")
    .description("print one dead letter with its payload")
    .argument("<id>", "id of the letter, as `dead ls` lists it", idOption)
    .option("--raw", "the payload alone, byte by byte as it came")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate dead show 17 --raw > payload.bin")
    .action((id: number, options: Options & { raw?: boolean }) =>
      withJournal(options, async (journal) => {
        const [letter] = await lettersById(journal, [id]);
        if (!letter) return;
        if (options.raw) return void process.stdout.write(letter.payload);
        const facts = letterFacts(letter);
        const { text, payload, isCutOff } = letterPayload(letter);
        if (options.json) return io.out(JSON.stringify({ ...facts, isCutOff, payload, text }));
        for (const [key, value] of Object.entries(facts)) if (value !== null) io.out(`${key}: ${plain(String(value))}`);
        if (isCutOff) io.out(`kept: ${renderBytes(letter.payload.length)} of it`);
        io.out(text === null ? `payload, in base64 since it is no text: ${payload}` : `payload: ${plain(text)}`);
      }),
    );

  command
    .command("replay")
    .description("publish dead letters again on the site's broker, under their topics, and forget those it takes")
    .argument("[ids...]", "ids of letters", idsOption)
    .option("--all", allOption)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate dead replay 17 18\nMend the stream first: what still cannot be taken becomes a dead letter again. Others that listen to the topic get the message, too.",
    )
    .action((ids: number[], options: Options & { all?: boolean }) => {
      requireChoice(ids, options);
      return withJournal(options, async (journal) => {
        const { replay } = await import("./dead/replay.ts");
        const loaded = loadFor(io, options);
        const chosen: number[] = [];
        if (options.all) for await (const { id } of allLetters(journal, Number.MAX_SAFE_INTEGER)) chosen.push(id);
        else for (const { id } of await lettersById(journal, ids)) chosen.push(id);
        const letters = lettersInOrder(journal, chosen);
        const { replayed, kept } = await replay(letters, journal, loaded.config, io);
        if (kept.length > 0) answer(1);
        if (options.json) return io.out(JSON.stringify({ replayed, kept }));
        io.out(`${replayed.length} replayed`);
        for (const { id, reason } of kept) io.out(`${id} kept: ${reason}`);
      });
    });

  command
    .command("purge")
    .description("forget dead letters for good")
    .argument("[ids...]", "ids of letters", idsOption)
    .option("--all", allOption)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate dead purge --all")
    .action((ids: number[], options: Options & { all?: boolean }) => {
      requireChoice(ids, options);
      return withJournal(options, async (journal) => {
        const purged = await journal.removeLetters(options.all ? "all" : ids);
        if (options.json) io.out(JSON.stringify({ purged }));
        else io.out(`${purged} purged`);
      });
    });
};

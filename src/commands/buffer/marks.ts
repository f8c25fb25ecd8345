import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { parseMoment } from "../../gateway/buffer-export.ts";
import { type MarkQuery, Marks } from "../../gateway/marks.ts";
import { ControlClient } from "../../ops/control-client.ts";
import type { Mark } from "../../train/time-table.ts";
import { loadFor } from "../load-configuration.ts";
import { controlSocket } from "../run/control-socket.ts";
import { renderTable } from "../terminal/table.ts";
import { configOption, type Io, jsonOption } from "../verb.ts";
import { openStore } from "./journal-access.ts";

type Options = { config?: string; json?: boolean };
type Which = { stream?: string; source?: string; from?: string; to?: string };

/** Marks, whoever has the journal open. */
type MarkAccess = Pick<Marks, "add" | "list" | "remove"> & { close(): void };

/** `tidegate buffer mark`, `marks` and `unmark`. */
export function defineMarks(command: Command, io: Io): void {
  command
    .command("mark")
    .description(
      "say of a source and a stretch of time that there was an event, or which label holds: training heeds it",
    )
    .requiredOption("--stream <name>", "stream of the source")
    .requiredOption("--source <source>", 'the source, as it stands in topics: "mote1", "hall/left"')
    .requiredOption("--from <time>", "begin: 2026-01-31T12:00:00Z, or ms since 1970")
    .requiredOption("--to <time>", "end; it counts, too")
    .option("--label <label>", "one of the model's labels where it is taught labels", "event")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate buffer mark --stream env --source mote1 --from 2026-01-31T12:00Z --to 2026-01-31T12:20Z",
    )
    .action(async (options: Options & Required<Which> & { label: string }) => {
      const loaded = loadFor(io, options);
      const { stream, source, label } = options;
      const { from = 0, to = 0 } = queryOf(options);
      if (!loaded.config.streams[stream]) throw new TidegateError("USAGE", { detail: `there is no stream ${stream}` });
      if (from > to) throw new TidegateError("USAGE", { detail: "--to is before --from" });
      await withMarks(io, loaded, (marks) => marks.add({ stream, source, from, to, label }));
      io.out(options.json ? JSON.stringify({ marked: 1 }) : "Marked.");
    });

  withWhich(command.command("marks"), "list")
    .description("marks that were set, oldest first")
    .addHelpText("after", "\nExample: tidegate buffer marks --stream env")
    .action(async (options: Options & Which) => {
      const marks = await withMarks(io, loadFor(io, options), (access) => access.list(queryOf(options)));
      marks.sort((a, b) => a.from - b.from);
      if (options.json) return io.out(JSON.stringify(marks));
      const time = (ms: number) => new Date(ms).toISOString();
      const rows = marks.map((mark) => [mark.stream, mark.source, time(mark.from), time(mark.to), mark.label]);
      for (const line of renderTable(["stream", "source", "from", "to", "label"], rows)) io.out(line);
    });

  withWhich(command.command("unmark"), "remove")
    .description("remove marks: all that touch the time, of this stream and source")
    .addHelpText(
      "after",
      "\nExample: tidegate buffer unmark --stream env --source mote1 --from 2026-01-31 --to 2026-02-01",
    )
    .action(async (options: Options & Which) => {
      const query = queryOf(options);
      if (query.stream === undefined)
        throw new TidegateError("USAGE", { detail: "say at least --stream: which marks are to go" });
      const removed = await withMarks(io, loadFor(io, options), (access) => access.remove(query));
      io.out(options.json ? JSON.stringify({ removed }) : `${removed} removed.`);
    });

  function withWhich(verb: Command, what: string): Command {
    return verb
      .option("--stream <name>", `${what} those of this stream`)
      .option("--source <source>", `${what} those of this source`)
      .option("--from <time>", "that last until this time or longer")
      .option("--to <time>", "that begin at this time or before")
      .option(...configOption)
      .option(...jsonOption);
  }
}

const queryOf = ({ stream, source, from, to }: Which): MarkQuery => ({
  stream,
  source,
  from: from === undefined ? undefined : parseMoment(from),
  to: to === undefined ? undefined : parseMoment(to),
});

async function withMarks<T>(io: Io, loaded: LoadedConfig, work: (marks: MarkAccess) => Promise<T>): Promise<T> {
  const marks = await openMarks(io, loaded);
  try {
    return await work(marks);
  } finally {
    marks.close();
  }
}

/** Through the running daemon, else in the data directory itself. */
async function openMarks(io: Io, loaded: LoadedConfig): Promise<MarkAccess> {
  try {
    const client = await ControlClient.connect(controlSocket(loaded));
    const call = (method: string, params: object) => client.call(method, { ...params }, { signal: io.signal });
    return {
      add: async (mark) => void (await call("marks.add", mark)),
      list: async (query = {}) => (await call("marks.list", query)) as Mark[],
      remove: async (query) => (await call("marks.remove", query)) as number,
      close: () => client.close(),
    };
  } catch (thrown) {
    if (!(thrown instanceof TidegateError) || thrown.code !== "CONTROL_UNAVAILABLE") throw thrown;
  }
  const { store, storageRoot } = await openStore(io, loaded);
  const marks = new Marks(storageRoot, {
    stateGet: async (name) => store.stateGet(name),
    statePut: async (name, value) => store.statePut(name, value),
  });
  return {
    add: (mark) => marks.add(mark),
    list: (query) => marks.list(query),
    remove: (query) => marks.remove(query),
    close: () => store.close(),
  };
}

import { TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import type { Config } from "../config/config.ts";
import { loadFor } from "./load-configuration.ts";
import { messagesOf } from "./try/messages.ts";
import { renderSteps } from "./try/screen.ts";
import { Trial } from "./try/trial.ts";
import { answer, configOption, type Define, type Io, jsonOption } from "./verb.ts";

type Options = {
  stream?: string;
  topic?: string;
  file?: string;
  summary?: boolean;
  config?: string;
  json?: boolean;
};

export const define: Define = (command, io) => {
  command
    .argument("[payloads...]", "payloads, in order")
    .option("--topic <topic>", "topic of payloads that do not say theirs (default: one that the stream takes)")
    .option("--file <file>", 'messages, one a line: {"topic": …, "payload": …}, or payloads alone; - is standard input')
    .option("--stream <name>", "this stream alone")
    .option("--summary", "only the last line")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      `\nExample: tidegate try --stream env '{"humidity": 45.2, "temperature": 27.9}'\n         tidegate try --file messages.ndjson --json\nNothing is stored or published. Ends with 1 when a payload cannot be read or no stream takes it.`,
    )
    .action((payloads: string[], options: Options) => tryOut(io, payloads, options));
};

async function tryOut(io: Io, payloads: readonly string[], options: Options): Promise<void> {
  if (payloads.length === 0 && options.file === undefined)
    throw new TidegateError("USAGE", { detail: "nothing to try: give payloads or --file" });
  const { config } = loadFor(io, options);
  const names = streamsOf(config, options.stream);
  const topic = options.topic ?? topicOf(config, names);
  const sums = { messages: 0, readings: 0, windows: 0, alarms: 0, dead: 0, untaken: 0 };
  const trial = new Trial(config);
  await trial.start(names, io.signal);
  try {
    for await (const message of messagesOf({ payloads, file: options.file, topic })) {
      if (io.signal.aborted) break;
      const all = await trial.take(message.topic, message.payload, message.arrivedAt);
      sums.messages++;
      if (all.length === 0) sums.untaken++;
      for (const { readings, results, dead, verdict } of all) {
        sums.readings += readings.length;
        sums.windows += results.length;
        if (results.length > 0 && verdict === "alarm") sums.alarms++;
        if (dead) sums.dead++;
      }
      if (options.summary) continue;
      if (options.json) io.out(JSON.stringify({ topic: message.topic, streams: all }));
      else for (const line of renderSteps(message.topic, message.payload, all)) io.out(line);
    }
  } finally {
    await trial.stop();
  }
  if (options.json) io.out(JSON.stringify(sums));
  else
    io.out(
      `${sums.messages} messages: ${sums.readings} readings, ${sums.windows} windows (${sums.alarms} in alarm), ${sums.dead} dead letters, ${sums.untaken} that no stream takes`,
    );
  if (sums.dead + sums.untaken > 0) answer(1);
}

function streamsOf({ streams }: Config, wanted: string | undefined): string[] {
  const names = Object.keys(streams);
  if (names.length === 0)
    throw new TidegateError("USAGE", { detail: "the configuration has no stream: `tidegate discover` proposes some" });
  if (wanted === undefined) return names;
  if (names.includes(wanted)) return [wanted];
  const nearest = nearestName(wanted, names);
  throw new TidegateError("USAGE", {
    detail: `there is no stream ${wanted}: ${nearest ? `did you mean ${nearest}?` : `there are ${names.join(", ")}`}`,
  });
}

/** A topic that the only stream takes, with "try" for whatever varies. */
function topicOf({ streams }: Config, names: readonly string[]): string | undefined {
  const [name] = names;
  return names.length === 1 && name !== undefined ? streams[name]?.topic.replace(/\{[^}]*\}/g, "try") : undefined;
}

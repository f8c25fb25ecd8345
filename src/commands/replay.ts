import { TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import { refusalReason } from "../wire/link-errors.ts";
import { messageOf } from "./replay/message.ts";
import { Pace } from "./replay/pace.ts";
import { readRecording } from "./replay/records.ts";
import { Sender } from "./replay/sender.ts";
import { brokerOption, loadForVisit, visitSite } from "./site/visitor.ts";
import { bar } from "./terminal/chart.ts";
import { LiveLines } from "./terminal/live-lines.ts";
import { answer, configOption, type Define, type Io, jsonOption, numberOption } from "./verb.ts";

type Options = {
  topic?: string;
  time?: string;
  rate?: number;
  speed?: number;
  qos: number;
  retain?: boolean;
  broker?: string;
  config?: string;
  json?: boolean;
};

const showEveryMs = 250;

export const define: Define = (command, io) => {
  command
    .argument("<file>", "CSV with a header line, or one JSON object a line; - is standard input")
    .option("--topic <topic>", "topic, with {column} for what varies; for recordings that do not say theirs")
    .option("--time <column>", "column of the time (default: ts, time, timestamp …)")
    .option(
      "--speed <times>",
      "so many times faster than recorded; 0: as fast as it goes (default: 1)",
      numberOption("--speed"),
    )
    .option("--rate <n>", "n messages a second, whatever their times", numberOption("--rate", { min: 0.001 }))
    .option("--qos <0|1>", "quality of service", numberOption("--qos", { max: 1, integer: true }), 1)
    .option("--retain", "the broker keeps the last message of each topic")
    .option(...brokerOption)
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate replay motes.csv --topic 'motes/{mote}/env' --speed 100\nColumns that are in the topic are left out of the payload. Lines of `tidegate buffer export` can be replayed as they are.",
    )
    .action((file: string, options: Options) => replay(io, file, options));
};

async function replay(io: Io, file: string, options: Options): Promise<void> {
  const { rate, speed } = options;
  if (rate !== undefined && speed !== undefined)
    throw new TidegateError("USAGE", { detail: "--rate or --speed, not both" });
  const { link, leave } = await visitSite(io, loadForVisit(io, options), [], () => {});
  const qos = options.qos === 0 ? 0 : 1;
  const sender = new Sender(link, { qos, retain: options.retain === true }, io.signal);
  const start = performance.now();
  try {
    await publishAll(io, file, options, sender);
    await sender.settled();
  } finally {
    await leave();
  }
  tell(io, sender, Math.round(performance.now() - start) / 1000, options.json === true);
  if (sender.counts.refused > 0) answer(1);
}

async function publishAll(io: Io, file: string, options: Options, sender: Sender): Promise<void> {
  const pace = new Pace(options);
  const lines = new LiveLines(io);
  const start = performance.now();
  let share = 0;
  const show = () => {
    const { messages } = sender.counts;
    const perSecond = Math.round((messages * 1000) / Math.max(1, performance.now() - start));
    const done = `${messages.toLocaleString("en-US")} messages, ${perSecond.toLocaleString("en-US")}/s`;
    const known = file === "-" ? "" : `${bar(share, 30)}  `;
    lines.show([`replay  ${known}${done}`], `replay: ${file === "-" ? "" : `${Math.round(share * 100)} %, `}${done}`);
  };
  const timer = setInterval(show, showEveryMs);
  try {
    for await (const entry of readRecording(file)) {
      const { topic, payload, ts } = messageOf(entry, { file, topic: options.topic, time: options.time });
      if (ts === null && !pace.isFree && sender.counts.messages === 0)
        throw new TidegateError("USAGE", {
          detail: `${file} does not tell when its messages were sent: give --rate, --time, or --speed 0`,
        });
      const waitMs = start + pace.due(ts) - performance.now();
      if (waitMs > 0) await sleep(waitMs, io.signal);
      if (io.signal.aborted) break;
      await sender.send(topic, payload);
      share = entry.share;
    }
    show();
  } finally {
    clearInterval(timer);
  }
}

function tell(io: Io, { counts, reasons }: Sender, seconds: number, isJson: boolean): void {
  if (isJson) {
    io.out(JSON.stringify({ ...counts, seconds }));
    return;
  }
  io.out(`${counts.messages} messages in ${seconds} s`);
  if (counts.unheard > 0) io.out(`${counts.unheard} of them reached nobody: no client has subscribed to their topic`);
  for (const [reason, count] of reasons) io.out(`${count} were refused by the broker: ${refusalReason(reason)}`);
}

import { join } from "node:path";
import { sleep } from "../base/lifecycle.ts";
import { parseDuration } from "../base/units.ts";
import type { LoadedConfig } from "../config/load.ts";
import { bindStream } from "../inference/binding.ts";
import { Registry } from "../inference/registry.ts";
import { groupTopics } from "./discover/grouping.ts";
import { type Proposal, proposeStreams } from "./discover/proposal.ts";
import { type Fitting, renderStreams } from "./discover/rendered-streams.ts";
import { type Heard, Survey } from "./discover/survey.ts";
import { brokerOption, loadForVisit, visitSite } from "./site/visitor.ts";
import { bar } from "./terminal/chart.ts";
import { LiveLines } from "./terminal/live-lines.ts";
import { answer, configOption, type Define, type Io, jsonOption, OptionFault } from "./verb.ts";

type Options = { broker?: string; for: string; topic: string; config?: string; json?: boolean };

const showEveryMs = 500;
/** Topics of a kind that are named when no stream is proposed for them. */
const namedTopics = 3;

export const define: Define = (command, io) => {
  command
    .option(...brokerOption)
    .option("--for <time>", "listen for so long", "30s")
    .option("--topic <filter>", "listen to these topics only", "#")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate discover --broker mqtt://192.168.1.10:1883 --for 1m\nStreams go to standard output as YAML: `>> tidegate.yaml` adds them to a file without `streams`, as `init` writes it.\nIt changes nothing. Ctrl-C ends the listening early.",
    )
    .action((options: Options) => discover(io, options));
};

async function discover(io: Io, options: Options): Promise<void> {
  const listenMs = parseDuration(options.for);
  if (listenMs === undefined) throw new OptionFault("--for", options.for, "a time such as 30s");
  const loaded = loadForVisit(io, options);
  const survey = new Survey();
  await listen(io, loaded, survey, { listenMs, topic: options.topic });
  const proposals = proposeStreams(groupTopics(survey.topics), survey.topics);
  const ignored = survey.topics.flatMap(({ topic, fault }) => (fault === null ? [] : [{ topic, reason: fault }]));
  if (options.json) {
    const streams = Object.fromEntries(proposals.map(({ name, stream }) => [name, stream]));
    io.out(JSON.stringify({ messages: survey.messages, topics: survey.topics.length, streams, ignored }));
  } else tell(io, survey, proposals, await fittingModels(loaded, proposals));
  if (proposals.length === 0) answer(1);
}

async function listen(
  io: Io,
  loaded: LoadedConfig,
  survey: Survey,
  { listenMs, topic }: { listenMs: number; topic: string },
) {
  const { config } = loaded;
  // QoS 0: whoever only looks must not have a broker queue messages for it.
  const subscriptions = [{ topic, qos: 0, retained: "first" }] as const;
  const { link, leave } = await visitSite(io, loaded, subscriptions, (message) =>
    survey.take(message.topic, message.payload, message.retain),
  );
  const lines = new LiveLines(io);
  const start = performance.now();
  const show = () => {
    const passed = performance.now() - start;
    const heard = `${survey.messages} messages, ${survey.topics.length} topics`;
    lines.show(
      [`listening  ${bar(passed / listenMs, 30)}  ${heard}`],
      `listening to ${config.sensors.url} for ${secondsLeft(listenMs - passed)}: ${heard}`,
    );
  };
  const timer = setInterval(show, showEveryMs);
  show();
  try {
    await sleep(listenMs, io.signal);
  } finally {
    clearInterval(timer);
    await leave();
  }
  for (const { topic: refused, reason } of link.state.refusedFilters)
    io.err(`the broker does not let this user listen to ${refused}: ${reason}`);
}

const secondsLeft = (ms: number): string => `${Math.max(0, Math.round(ms / 1000))} s more`;

function tell(
  io: Io,
  survey: Survey,
  proposals: readonly Proposal[],
  fitting: ReadonlyMap<string, readonly Fitting[]>,
) {
  if (proposals.length > 0) for (const line of renderStreams(proposals, fitting).trimEnd().split("\n")) io.out(line);
  const byFault = Map.groupBy(
    survey.topics.filter(({ fault }) => fault !== null),
    ({ fault }: Heard) => fault,
  );
  for (const [fault, topics] of byFault) {
    const names = topics.slice(0, namedTopics).map(({ topic }) => topic);
    const more = topics.length > namedTopics ? ` and ${topics.length - namedTopics} more` : "";
    io.err(`left out (${fault}): ${names.join(", ")}${more}`);
  }
  if (survey.beyond > 0) io.err(`${survey.beyond} messages of more topics were not looked at: narrow it with --topic`);
  if (proposals.length > 0) io.err("put what you want of it under `streams:`, then `tidegate check`");
  else if (survey.messages === 0)
    io.err(
      "nothing was heard: do the sensors send to this broker, and may this user read it? A longer --for may help.",
    );
}

/** Models whose fields a proposed stream has. */
async function fittingModels({ config }: LoadedConfig, proposals: readonly Proposal[]) {
  const registry = new Registry({ dirs: [join(config.gateway.dataDir, "models"), config.models.dir] });
  const fitting = new Map<string, Fitting[]>();
  for (const listing of await registry.list()) {
    if ("fault" in listing) continue;
    const { card } = await registry.open(listing.name);
    for (const { name, stream } of proposals) {
      try {
        bindStream(card, name, Object.keys(stream.fields));
        fitting.set(name, [...(fitting.get(name) ?? []), { model: card.name, task: card.task }]);
      } catch {
        // It does not fit: nothing to say about it.
      }
    }
  }
  return fitting;
}

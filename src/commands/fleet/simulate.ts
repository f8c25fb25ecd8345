import { TidegateError } from "../../base/errors.ts";
import { parseDuration, renderBytes } from "../../base/units.ts";
import { rules } from "../../federated/rules/rule-table.ts";
import { strategies } from "../../federated/strategies/strategy-table.ts";
import { type SimulatedRound, type SimulationOutcome, simulateFleet } from "../simulation/simulation.ts";
import { sparkline } from "../terminal/chart.ts";
import { type Define, jsonOption, numberOption, OptionFault } from "../verb.ts";

type Options = {
  readonly gateways: number;
  readonly rounds: number;
  readonly parameters: number;
  readonly processes?: number;
  readonly broker?: string;
  readonly fraction: number;
  readonly strategy: string;
  readonly rule: string;
  readonly codec?: string;
  readonly deadline: string;
  readonly dropOut: number;
  readonly slow: number;
  readonly slowBy: string;
  readonly duplicate: number;
  readonly corrupt: number;
  readonly malicious: number;
  readonly factor: number;
  readonly seed: number;
  readonly json?: boolean;
};

const codecs: Readonly<Record<string, object>> = {
  dense: { codec: "plain", support: "dense" },
  "8-bit": { codec: "quantized", support: "listed", share: 0.02, bits: 8 },
  sign: { codec: "sign", support: "listed", share: 0.02 },
};
const overSelection = 1.3;

const share = (name: string) => numberOption(name, { min: 0, max: 1 });

/** `tidegate fleet simulate`: what a fleet would do, before there is one. */
export const defineSimulate: Define = (command, io) => {
  command
    .command("simulate")
    .description("many light gateways against a coordinator of its own: what a fleet would do, before there is one")
    .option("--gateways <n>", "members", numberOption("--gateways", { min: 1, max: 100_000, integer: true }), 100)
    .option("--rounds <n>", "rounds", numberOption("--rounds", { min: 1, integer: true }), 5)
    .option("--parameters <n>", "numbers of the model", numberOption("--parameters", { min: 2, integer: true }), 10_000)
    .option(
      "--processes <n>",
      "processes that hold the gateways",
      numberOption("--processes", { min: 1, integer: true }),
    )
    .option("--broker <url>", "broker to go through (default: one in this process, MQTT 3.1.1)")
    .option("--fraction <share>", "members that are wanted in a round", share("--fraction"), 1)
    .option("--strategy <name>", Object.keys(strategies).join(", "), "fedavg")
    .option("--rule <name>", Object.keys(rules).join(", "), "mean")
    .option("--codec <name>", `${Object.keys(codecs).join(", ")} (default: as a coordinator chooses by itself)`)
    .option("--deadline <time>", "from then on half of the wanted updates are enough", "20s")
    .option("--drop-out <share>", "gateways that vanish in a round, others in each", share("--drop-out"), 0)
    .option("--slow <share>", "part of the population that takes longer", share("--slow"), 0)
    .option("--slow-by <time>", "how much longer", "10s")
    .option("--duplicate <share>", "part that sends everything twice", share("--duplicate"), 0)
    .option("--corrupt <share>", "part whose messages arrive with a flipped bit", share("--corrupt"), 0)
    .option("--malicious <share>", "part that sends --factor times what it learned", share("--malicious"), 0)
    .option("--factor <n>", "of the malicious part", (text) => Number(text), -10)
    .option("--seed <n>", "decides who misbehaves and what is learned", numberOption("--seed", { integer: true }), 1)
    .option(...jsonOption)
    .addHelpText(
      "after",
      "\nExample: tidegate fleet simulate --gateways 200 --rounds 10 --drop-out 0.1 --malicious 0.2 --rule median --json\nEach gateway has keys and a connection of its own and speaks as a real one does; what is learned is a problem whose answer\nis known, so that `distance` tells how near the fleet has come: 1 at the start, 0 at the answer.",
    )
    .action(async (options: Options) => {
      const outcome = await simulateFleet({
        ...planOf(options),
        signal: io.signal,
        onRound: (round) => (options.json ? io.err : io.out)(renderRound(round)),
      });
      if (options.json) return io.out(JSON.stringify(outcome));
      for (const line of renderOutcome(outcome)) io.out(line);
    });
};

function planOf(options: Options) {
  const { gateways, rounds, parameters, processes, broker, seed, fraction, strategy, rule } = options;
  const { dropOut, slow, duplicate, corrupt, malicious, factor } = options;
  if (!Number.isFinite(factor)) throw new OptionFault("--factor", String(factor), "a number");
  const codec = options.codec === undefined ? undefined : codecs[options.codec];
  if (options.codec !== undefined && !codec)
    throw new OptionFault("--codec", options.codec, `one of ${Object.keys(codecs).join(", ")}`);
  if (!(strategy in strategies)) throw new OptionFault("--strategy", strategy, `one of ${Object.keys(strategies)}`);
  if (!(rule in rules)) throw new OptionFault("--rule", rule, `one of ${Object.keys(rules)}`);
  if (fraction === 0) throw new TidegateError("USAGE", { detail: "--fraction 0 wants nobody" });
  const wanted = Math.max(1, Math.round(fraction * gateways));
  // Who never answers is not waited for.
  const target = Math.max(1, Math.floor(wanted * (1 - dropOut) * (1 - corrupt)));
  return {
    ...{ gateways, rounds, parameters, processes, broker, seed },
    misconduct: {
      ...{ dropOut, slow, duplicate, corrupt, malicious, factor },
      slowMs: time("--slow-by", options.slowBy),
    },
    model: {
      ...{ strategy, rule, fraction, deadline: time("--deadline", options.deadline) },
      training: { epochs: 1, learningRate: 0.5 },
      quorum: { min: Math.max(1, Math.ceil(wanted / 2)), target, overSelection: fraction < 1 ? overSelection : 1 },
      ...(codec ? { codec, downlink: codec } : {}),
    },
  };
}

function time(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw new OptionFault(option, text, "a time such as 10s");
}

const renderRound = ({ round, accepted, bytesUp, denseBytes, distance, durationMs }: SimulatedRound): string =>
  `round ${String(round).padStart(3)}  ${accepted} updates  ${renderBytes(bytesUp)} of ${renderBytes(denseBytes)} dense  distance ${distance.toPrecision(3)}  ${(durationMs / 1000).toFixed(1)} s`;

function renderOutcome({
  rounds,
  ends,
  updates,
  refused,
  sentBytes,
  gateways,
  processes,
}: SimulationOutcome): string[] {
  const list = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .map(([name, count]) => `${count} ${name}`)
      .join(", ") || "none";
  return [
    "",
    `distance    ${sparkline(
      rounds.map(({ distance }) => distance),
      40,
    )}`,
    `gateways    ${gateways} in ${processes} processes: ${list(ends)}`,
    `coordinator ${updates.accepted} accepted, ${updates.duplicates} duplicates, ${updates.unopened} not opened; refused: ${list(refused)}`,
    `sent        ${renderBytes(sentBytes)}`,
  ];
}

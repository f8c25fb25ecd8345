import { digits, LightTrainer, partition } from "../../src/commands/simulation/digits.ts";
import type { BenchOptions } from "./bench-options.ts";
import { type RoundFigures, type SimulationPlan, simulate } from "./fleet-maths/simulation.ts";
import { machine, median, type Report, type Row } from "./measure.ts";

const gateways = 100;
const selected = 10;
const target = 0.97;

type Settings = Pick<SimulationPlan, "rounds" | "rate" | "up" | "strategy" | "rule"> &
  Partial<Pick<SimulationPlan, "down" | "options" | "ruleOptions" | "attack" | "until" | "testFrom">>;

const dense: Settings = {
  ...{ rounds: 60, rate: 0.1, strategy: "fedavg", rule: "mean" },
  up: { codec: "plain", support: "dense", bits: 32, share: 1 },
};
const withMomentum: Settings = { ...dense, strategy: "fedavgm", options: { momentum: 0.5 } };
const signs = { codec: "sign", support: "listed", bits: 1, share: 0.02 } as const;
/** What `defaultCodec` and `strategyDefaults` say. */
const compressed: Settings = { ...withMomentum, rounds: 120, up: signs, down: signs };

/** Accuracies from 0 to 1 as points of 100. */
const points = (accuracy: number): number => 100 * accuracy;
const firstAt = (history: readonly RoundFigures[]) => history.find(({ accuracy }) => accuracy >= target);
/** Of the last five versions, in the mean: one alone is up or down by chance. */
const ending = (history: readonly RoundFigures[]): number =>
  history.slice(-5).reduce((sum, { accuracy }) => sum + accuracy, 0) / Math.min(5, history.length);

/**
 * Rounds, bytes and accuracy of a fleet that learns digits, without a network: the mathematics of `src/federated` around
 * the project's own training graph. McMahan's perceptron, 100 gateways, 10 a round, one epoch, batches of 10; figures are
 * medians over seeds 1, 2, 3 …, each of which fixes weights, partition, selection and order of examples.
 */
export async function fleetMaths({ pairs: seeds, only, say }: BenchOptions): Promise<Report> {
  const [train, test] = [digits("train"), digits("t10k")];
  const trainer = await LightTrainer.open({ train, test, batch: 10, mu: 0 });
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    say(row);
  };
  const runs = async (kind: "iid" | "two-shard", settings: Settings): Promise<RoundFigures[][]> => {
    const histories: RoundFigures[][] = [];
    for (let seed = 1; seed <= seeds; seed++) {
      const parts = partition(train, gateways, kind, seed);
      histories.push(await simulate({ trainer, parts, seed, selected, epochs: 1, ...settings }));
    }
    return histories;
  };
  const rounds = (what: string, histories: RoundFigures[][], goal?: number): number => {
    const each = histories.map((history) => firstAt(history)?.round ?? Number.POSITIVE_INFINITY);
    const value = median(each);
    const held = goal === undefined ? {} : { goal: `<= ${goal}`, met: value <= goal };
    add({ what: `${what}: rounds to 97 % (${each.join(", ")})`, value, unit: "rounds", ...held });
    return value;
  };
  const wants = (part: string): boolean => only === undefined || only === part;

  if (wants("iid")) await iid();
  if (wants("two-shard"))
    rounds("two-shard, dense", await runs("two-shard", { ...dense, rounds: 400, until: target }), 400);
  if (wants("two-shard-compressed"))
    rounds("two-shard, compressed", await runs("two-shard", { ...compressed, rounds: 400, until: target }));
  if (wants("robust")) await robust("iid");
  if (wants("robust-two-shard")) await robust("two-shard");
  await trainer.release();
  return { name: "fleet-maths", machine: machine(), rows };

  async function iid(): Promise<void> {
    const whole = await runs("iid", dense);
    const moving = await runs("iid", { ...withMomentum, until: target });
    const small = await runs("iid", compressed);
    const wholeRounds = rounds("IID, dense", whole, 75);
    rounds("IID, dense with the same server momentum", moving);
    const smallRounds = rounds("IID, compressed", small);
    add({
      ...{ what: "IID, compressed: rounds", value: smallRounds, unit: "rounds", against: "dense" },
      ...{ ratio: smallRounds / wholeRounds, goal: "<= 3 x", met: smallRounds <= 3 * wholeRounds },
    });
    const share = (which: "up" | "down", of = whole): number[] =>
      small.map((history, i) => (firstAt(of[i] ?? [])?.[which] ?? 0) / (firstAt(history)?.[which] ?? Number.NaN));
    const [up, down] = [median(share("up")), median(share("down"))];
    const less = "dense / compressed";
    add({ what: `all updates to 97 %: ${less}`, value: up, unit: "times", goal: ">= 40, then 100", met: up >= 100 });
    add({ what: `the same, dense with the same server momentum`, value: median(share("up", moving)), unit: "times" });
    add({ what: `all downloads to 97 %: ${less}`, value: down, unit: "times", goal: ">= 8", met: down >= 8 });
    const perUpdate = small.map(
      (history) => (4 * trainer.length * selected * history.length) / (history.at(-1)?.up ?? 0),
    );
    const one = median(perUpdate);
    add({ what: `one update: ${less}`, value: one, unit: "times", goal: ">= 100", met: one >= 100 });
    const lost = median(whole.map(ending)) - median(small.map(ending));
    add({ what: "IID, dense: accuracy after 60 rounds", value: points(median(whole.map(ending))), unit: "%" });
    add({
      ...{ what: "IID, compressed: accuracy after 120 rounds", value: points(median(small.map(ending))), unit: "%" },
      ...{ goal: "0.5 points below dense at most", met: lost <= 0.005 },
    });
  }

  async function robust(kind: "iid" | "two-shard"): Promise<void> {
    const attacks = [
      ["signs flipped", { share: 0.2, factor: -1 }],
      ["-10 times", { share: 0.2, factor: -10 }],
    ] as const;
    const defences = [
      ["mean", {}],
      ["clipped", { norm: 1.5 }],
      ["median", {}],
      ["trimmed", { trim: 0.4 }],
      ["multi-krum", { attackers: 3 }],
    ] as const;
    const short = { ...withMomentum, rounds: 40, testFrom: 36 };
    const honest = median((await runs(kind, short)).map(ending));
    add({ what: `${kind}, all honest, mean: accuracy after 40 rounds`, value: points(honest), unit: "%" });
    for (const [name, attack] of attacks)
      for (const [rule, ruleOptions] of defences) {
        const accuracy = median((await runs(kind, { ...short, rule, ruleOptions, attack })).map(ending));
        const isHeld = kind === "iid" && rule !== "mean" && rule !== "clipped";
        const held = isHeld ? { goal: "1 point lost at most", met: honest - accuracy <= 0.01 } : {};
        add({ what: `${kind}, 20 % ${name}, ${rule}`, value: points(accuracy), unit: "%", ...held });
      }
  }
}

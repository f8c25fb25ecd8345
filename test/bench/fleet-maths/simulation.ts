import { seededRandom, shuffle } from "../../../src/base/random.ts";
import type { LightTrainer } from "../../../src/commands/simulation/digits.ts";
import { mix } from "../../../src/commands/simulation/digits-fleet.ts";
import { Accumulator } from "../../../src/federated/accumulator.ts";
import { addBy, combine } from "../../../src/federated/aggregation.ts";
import type { CodecHeader } from "../../../src/federated/codec-header.ts";
import { PublishedVersions } from "../../../src/federated/published-versions.ts";
import { carry, leftOver } from "../../../src/federated/residual.ts";
import type { MemberUpdate, Rule, RuleOptions } from "../../../src/federated/rules/rule.ts";
import { type RuleName, rules } from "../../../src/federated/rules/rule-table.ts";
import { type StrategyOptions, strategyDefaults } from "../../../src/federated/strategies/strategy.ts";
import { type StrategyName, startOf, strategies } from "../../../src/federated/strategies/strategy-table.ts";
import { decodeBody, encodeBody, isLossy, restoreBody } from "../../../src/federated/update-body.ts";
import { type UpdateSpace, updateSpace } from "../../../src/federated/update-space.ts";
import { hashOfWeights } from "../../../src/train/averaged-weights.ts";

/** How updates are written, by the part of the coordinates that is kept. */
export type Compression = Pick<CodecHeader, "codec" | "support" | "bits"> &
  Partial<Pick<CodecHeader, "clip" | "scale">> & { readonly share: number };

export type SimulationPlan = {
  readonly trainer: LightTrainer;
  /** Examples of each gateway. */
  readonly parts: readonly Int32Array[];
  readonly seed: number;
  readonly rounds: number;
  /** Gateways of a round. */
  readonly selected: number;
  /** Draws them; absent: by the seed. @param weights  the round's base */
  select?(round: number, weights: Float32Array): readonly number[];
  readonly epochs: number;
  readonly rate: number;
  readonly up: Compression;
  /** How new versions are told to gateways; absent: whole. */
  readonly down?: Compression;
  readonly strategy: StrategyName;
  readonly options?: Partial<StrategyOptions>;
  readonly rule: RuleName;
  readonly ruleOptions?: Partial<RuleOptions>;
  /** A fixed part of the gateways that sends `factor` times what it learned. */
  readonly attack?: { readonly share: number; readonly factor: number };
  /** Ends at the first round with this accuracy. */
  readonly until?: number;
  /** First round whose version is tested; before it accuracy is NaN. Default 1. */
  readonly testFrom?: number;
  onRound?(figures: RoundFigures): void;
};

export type RoundFigures = {
  readonly round: number;
  /** Of the version that gateways get, on the canonical test set. */
  readonly accuracy: number;
  /** Bytes of all updates so far, and of all that gateways fetched. */
  readonly up: number;
  readonly down: number;
  /** Hash of the version that gateways get. */
  readonly hash: string;
};

const ruleDefaults: RuleOptions = { norm: 1, trim: 0.2, attackers: 2 };

/**
 * Rounds without a network: the same codecs, residuals, sums, strategies and published versions as over one. Every gateway
 * begins with version 0, which came with its bundle.
 */
export async function simulate(plan: SimulationPlan): Promise<RoundFigures[]> {
  const { trainer, parts, seed, rounds, selected, epochs, rate } = plan;
  const { length } = trainer;
  const space = spaceOf(plan.up, length);
  const strategy = strategies[plan.strategy];
  const options = { ...strategyDefaults, ...plan.options };
  const state = startOf(strategy, trainer.start(seed), options);
  const versions = new PublishedVersions(state.weights, plan.down && spaceOf(plan.down, length));
  const residuals = new Map<number, Float32Array>();
  const known = new Array<number>(parts.length).fill(0);
  const drawn = Array.from({ length: parts.length }, (_, i) => i);
  shuffle(drawn, seededRandom(mix(seed, 0, 1)));
  const attackers = new Set(drawn.slice(0, Math.round((plan.attack?.share ?? 0) * parts.length)));
  const history: RoundFigures[] = [];
  let [up, down] = [0, 0];
  for (let round = 1; round <= rounds; round++) {
    const order = Array.from({ length: parts.length }, (_, i) => i);
    shuffle(order, seededRandom(mix(seed, round, 2)));
    const updates: MemberUpdate[] = [];
    for (const gateway of plan.select?.(round, versions.weights) ?? order.slice(0, selected)) {
      down += versions.bytesFrom(known[gateway] ?? 0);
      known[gateway] = versions.newest;
      const base = versions.weights;
      const examples = parts[gateway] ?? new Int32Array();
      const learned = await trainer.change(base, examples, { epochs, rate, seed: mix(seed, round, 3 + gateway) });
      const told = attackers.has(gateway) ? learned.map((value) => value * (plan.attack?.factor ?? 1)) : learned;
      const body = send(told, space, residuals, gateway, mix(seed, round, 1_000 + gateway));
      up += body.length;
      updates.push({ gateway: `${gateway}`.padStart(4, "0"), body: decodeBody(body, space) });
    }
    const change = aggregate(updates, space, rules[plan.rule], { ...ruleDefaults, ...plan.ruleOptions });
    strategy.step(state, change, options);
    versions.publish(state.weights, seededRandom(mix(seed, round, 4)));
    const figures = { round, accuracy: Number.NaN, up, down, hash: hashOfWeights(versions.weights) };
    if (round >= (plan.testFrom ?? 1)) figures.accuracy = await trainer.accuracy(versions.weights);
    history.push(figures);
    plan.onRound?.(figures);
    if (plan.until !== undefined && figures.accuracy >= plan.until) break;
  }
  return history;
}

function send(
  learned: Float32Array,
  space: UpdateSpace,
  residuals: Map<number, Float32Array>,
  gateway: number,
  seed: number,
): Uint8Array {
  if (!isLossy(space)) return encodeBody(learned, space, seededRandom(seed));
  const carried = carry(learned, residuals.get(gateway) ?? null);
  const body = encodeBody(carried, space, seededRandom(seed));
  const told = restoreBody(decodeBody(body, space), space);
  residuals.set(gateway, leftOver(carried, told));
  return body;
}

function aggregate(updates: MemberUpdate[], space: UpdateSpace, rule: Rule, options: RuleOptions): Float32Array {
  if (rule.memory === "updates") return combine(rule, updates, space, options);
  const sum = new Accumulator(space.length);
  for (const { body } of updates) addBy(rule, sum, { body, weight: 1 }, space, options);
  return sum.mean(space.header.scale);
}

const spaceOf = ({ share, ...how }: Compression, length: number): UpdateSpace =>
  updateSpace({
    length,
    header: {
      ...{ clip: 32, scale: 2 ** 24, modulus: 0, weight: "uniform", maxWeight: 1, noise: 0, ...how },
      ...(how.support === "dense" ? {} : { keep: Math.ceil(share * length) }),
    },
  });

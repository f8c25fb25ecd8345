import { TidegateError } from "../base/errors.ts";
import { Accumulator } from "../federated/accumulator.ts";
import { addBy, combine } from "../federated/aggregation.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import type { MemberUpdate, Rule } from "../federated/rules/rule.ts";
import { rules } from "../federated/rules/rule-table.ts";
import { addMoments, decodeMoments, type Moments } from "../federated/statistics.ts";
import { stalenessFactor } from "../federated/strategies/fedbuff.ts";
import type { ServerState, Strategy } from "../federated/strategies/strategy.ts";
import { startOf, strategies } from "../federated/strategies/strategy-table.ts";
import { decodeBody } from "../federated/update-body.ts";
import type { UpdateSpace } from "../federated/update-space.ts";
import { bytesOfVector, vectorOfBytes } from "./bundle-weights.ts";
import type { AcceptedUpdate, ModelVersion } from "./coordinator-store.ts";
import type { ModelSettings } from "./fleet-settings.ts";

type Plan = Pick<ModelSettings, "strategy" | "strategyOptions" | "rule" | "ruleOptions" | "mode" | "training">;

/** What a round has led to: the strategy's weights and memories, as the store keeps them. */
export type Aggregated = Pick<ModelVersion, "state" | "metrics"> & { readonly exact: Uint8Array };

/**
 * Makes the next version of what counts in a round. The same updates give the same bytes, in whatever order they came and
 * however often it is done anew.
 *
 * @param spaceOf  how an update that was trained in this round is written
 */
export async function aggregate(
  updates: AsyncIterable<AcceptedUpdate>,
  base: ModelVersion,
  round: RoundDocument,
  plan: Plan,
  spaceOf: (trainedIn: number) => UpdateSpace | undefined,
): Promise<Aggregated> {
  const strategy: Strategy = strategies[plan.strategy];
  const rule: Rule = rules[plan.rule];
  const sum = new Accumulator(round.base.length);
  const kept: MemberUpdate[] = [];
  const report = new Report();
  for await (const update of updates) {
    const space = spaceOf(update.round);
    if (!space) continue;
    const body = decodeBody(update.body, space);
    report.add(update);
    const factor = strategy.isAsynchronous
      ? (stalenessFactor(round.round - update.round, round.maxStaleness ?? 0) ?? 0)
      : 1;
    if (rule.memory === "sum") addBy(rule, sum, { body, weight: update.weight, factor }, space, plan.ruleOptions);
    else kept.push({ gateway: update.gateway, body });
  }
  const own = spaceOf(round.round);
  if (!own) throw new TidegateError("BUG", { detail: "a round without a space of its own" });
  const mean = rule.memory === "sum" ? sum.mean(round.codec.scale) : combine(rule, kept, own, plan.ruleOptions);
  // Gradients point uphill, and have not been multiplied by a rate yet.
  const change = plan.mode === "gradients" ? mean.map((value) => -plan.training.learningRate * value) : mean;
  const state = readState(base, strategy, plan);
  strategy.step(state, change, plan.strategyOptions);
  return {
    exact: bytesOfVector(state.weights),
    state: Buffer.concat(state.slots.map(bytesOfVector)),
    metrics: report.metrics,
  };
}

/** Weights and memories of the version before; memories begin anew when the strategy has others. */
function readState(base: ModelVersion, strategy: Strategy, plan: Plan): ServerState {
  const weights = vectorOfBytes(base.exact ?? base.weights);
  const slots = Object.keys(strategy.slots).length;
  if (slots === 0 || base.state.length !== slots * base.weights.length)
    return startOf(strategy, weights, plan.strategyOptions);
  const all = vectorOfBytes(base.state);
  return {
    weights,
    slots: Array.from({ length: slots }, (_, i) => all.slice(i * weights.length, (i + 1) * weights.length)),
  };
}

/** What gateways said of the base on their held-back data, by weight, and how long their updates were. */
class Report {
  readonly #sums = new Map<string, { sum: number; weight: number }>();

  add({ metrics, weight, norm }: AcceptedUpdate): void {
    for (const [name, value] of Object.entries({ ...metrics, norm })) {
      const { sum, weight: before } = this.#sums.get(name) ?? { sum: 0, weight: 0 };
      this.#sums.set(name, { sum: sum + weight * value, weight: before + weight });
    }
  }

  get metrics(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, { sum, weight }]) => [name, sum / weight]));
  }
}

/** Round 0: the sums of what gateways measured. */
export async function sumMoments(
  updates: AsyncIterable<AcceptedUpdate>,
  { statistics }: RoundDocument,
): Promise<Moments[]> {
  const length = statistics?.values.reduce((sum, { size }) => sum + size, 0) ?? 0;
  let total: Moments[] = Array.from({ length }, () => ({ count: 0, sum: 0, squares: 0 }));
  for await (const { body } of updates)
    total = addMoments(total, decodeMoments(body, length, statistics?.maxCount ?? 0));
  return total;
}

import { TidegateError } from "../base/errors.ts";
import { checkAggregation } from "../federated/aggregation.ts";
import { parseRound, type RoundDocument } from "../federated/round-document.ts";
import type { Strategy } from "../federated/strategies/strategy.ts";
import { strategies } from "../federated/strategies/strategy-table.ts";
import { updateSpace } from "../federated/update-space.ts";
import type { Bundle } from "../inference/bundle.ts";
import { sizeOfTensor } from "./bundle-weights.ts";
import type { ModelVersion } from "./coordinator-store.ts";
import { codecHeader, downlinkHeader, type ModelSettings } from "./fleet-settings.ts";

/** What all documents of one life of a coordinator have in common. */
export type Announcer = {
  readonly fleet: string;
  readonly epoch: number;
  /** Its X25519 public key. */
  readonly box: Uint8Array;
};

/** What stands in the document of a round beside what the settings say. */
export type RoundFacts = {
  readonly version: number;
  readonly round: number;
  /** ms UTC */
  readonly at: number;
  readonly base: ModelVersion;
  readonly sources: RoundDocument["base"]["sources"];
  /** Round 0: what is measured. */
  readonly statistics?: RoundDocument["statistics"];
};

/**
 * The document that announces a round.
 * @throws TidegateError ROUND_INVALID when the settings make none
 */
export function planRound(settings: ModelSettings, { fleet, epoch, box }: Announcer, facts: RoundFacts): RoundDocument {
  const { version, round, at, base, sources, statistics } = facts;
  const { training, quorum, fraction, deadline, maxStaleness } = settings;
  const length = base.weights.length / 4;
  return parseRound({
    kind: "round",
    audience: fleet,
    version,
    issuedAt: new Date(at).toISOString(),
    subject: base.model,
    epoch,
    round,
    state: "open",
    phase: "submit",
    mode: statistics ? "statistics" : settings.mode,
    base: {
      ...{ version: base.version, hash: base.hash, length, sources, tensors: base.tensors },
      ...(base.root === "" ? {} : { root: base.root }),
    },
    ...(statistics ? { statistics } : { training }),
    codec: codecHeader(settings, length),
    quorum,
    fraction: statistics ? 1 : fraction,
    deadlineMs: deadline,
    ...(isAsynchronous(settings) && !statistics ? { maxStaleness } : {}),
    box: Buffer.from(box).toString("base64"),
  });
}

export const isAsynchronous = ({ strategy }: Pick<ModelSettings, "strategy">): boolean =>
  (strategies[strategy] as Strategy).isAsynchronous === true;

/**
 * Refuses settings that no round can be made of, before one is opened.
 * @throws TidegateError AGGREGATION_REFUSED, CODEC_REFUSED, ROUND_INVALID
 */
export function checkSettings(settings: ModelSettings, length: number): void {
  const { strategy, rule, ruleOptions: options, quorum, training } = settings;
  const header = codecHeader(settings, length);
  updateSpace({ header, length, base: { hash: "0".repeat(64), round: 0 } });
  const down = downlinkHeader(settings, length);
  if (down) updateSpace({ header: down, length });
  if (quorum.target < quorum.min)
    throw new TidegateError("ROUND_INVALID", { reason: "quorum.target is below quorum.min" });
  checkAggregation({ strategy, rule, options, header, quorum: quorum.min, mu: training.mu });
}

/**
 * What round 0 measures: the values of the card's `fit` for which the settings name bounds; undefined when there are none.
 * @throws TidegateError ROUND_INVALID
 */
export async function planStatistics(settings: ModelSettings, bundle: Bundle): Promise<RoundDocument["statistics"]> {
  if (!settings.normalization) return undefined;
  const entries = Object.entries(settings.normalization);
  const values = await Promise.all(
    entries.map(async ([of, { low, high }]) => {
      const fit = bundle.card.fit.find((each) => each.of === of);
      if (!fit) throw new TidegateError("ROUND_INVALID", { reason: `the card's fit has no ${of}` });
      if (low >= high)
        throw new TidegateError("ROUND_INVALID", { reason: `normalization.${of}: low is not below high` });
      return { of, size: await sizeOfTensor(bundle, fit.tensor), low, high };
    }),
  );
  return { values, maxCount: Math.min(...entries.map(([, { maxCount }]) => maxCount)) };
}

import type { Journal } from "../buffer/journal.ts";
import type { Config, StreamConfig } from "../config/config.ts";
import { egressLevels, egressOf, type Policy } from "../control/policy.ts";
import { mismatchOf, periodOf } from "../federated/client/card-match.ts";
import { registryOf, transformedFields } from "./streams.ts";
import type { Trainings } from "./trainings.ts";

export type RoundReadingsOptions = {
  readonly config: Config;
  readonly journal: Pick<Journal, "read" | "stateOf">;
  readonly trainings: Pick<Trainings, "readings">;
  policy(): Policy | null;
};

/** Newest readings that the period is told by. */
const lookedAt = 2_048;
/** An update is what many readings have in common: what policy allows of aggregates it allows of it. */
const leastEgress = "aggregates";

/** Whether a gateway's streams are what a model of the fleet takes, and may have a part in what leaves. */
export class RoundReadings {
  readonly #options: RoundReadingsOptions;

  constructor(options: RoundReadingsOptions) {
    this.#options = options;
  }

  /** Why not; null when they are. @throws TidegateError MODEL_MISSING, USAGE when no stream runs it */
  async mismatch(model: string): Promise<string | null> {
    const { config, trainings } = this.#options;
    const { card } = await registryOf(config).open(model);
    for (const name of trainings.readings.streamsOf(model, undefined)) {
      const stream = config.streams[name];
      if (!stream) continue;
      const level = egressOf(this.#options.policy(), name);
      if (level !== null && egressLevels.indexOf(level) < egressLevels.indexOf(leastEgress))
        return `policy lets ${level} of stream ${name} out: an update needs ${leastEgress}`;
      const fields = new Map(transformedFields(stream).map((field) => [field, stream.fields[field]?.unit]));
      const period = stream.every ?? (card.period === undefined ? null : await this.#period(name, stream));
      const reason = mismatchOf(card, { stream: name, fields, period });
      if (reason !== null) return reason;
    }
    return null;
  }

  async #period(name: string, _stream: StreamConfig): Promise<number | null> {
    const { journal } = this.#options;
    const { next } = await journal.stateOf(name);
    const frames = await journal.read(name, { from: Math.max(0, next - lookedAt), limit: lookedAt });
    const source = frames.flatMap((frame) => [...frame.source]);
    return periodOf(
      source,
      frames.flatMap((frame) => [...frame.ts]),
    );
  }
}

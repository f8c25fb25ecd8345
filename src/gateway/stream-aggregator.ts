import type { Clock } from "../base/clock.ts";
import { emptyCommit } from "../buffer/commit.ts";
import type { Journal } from "../buffer/journal.ts";
import { Aggregator } from "./aggregator.ts";
import type { StreamPath } from "./stream-path.ts";

/** The aggregator of one stream: from its readings in the journal to the outbox, with the cursor in the same commit. */
export function streamAggregator(path: StreamPath, cursor: number, journal: Journal, clock: Clock): Aggregator {
  const { name: stream, intake, config } = path;
  const { every, quantiles } = config.aggregate;
  return new Aggregator(
    {
      stream,
      fields: intake.fields,
      everyMs: every,
      quantiles,
      clock,
      sourcesOf: () => intake.sources,
      read: (from, limit) => journal.read(stream, { from, limit }),
      commit: (aggregates, aggregated) => {
        const outbox = aggregates.map((aggregate) => {
          return { lane: "rest", stream, kind: "aggregate", body: Buffer.from(JSON.stringify(aggregate)) } as const;
        });
        return journal.commit({ ...emptyCommit, outbox, cursors: { [stream]: { aggregated } } });
      },
    },
    cursor,
  );
}

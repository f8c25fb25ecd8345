import { expect, it } from "vitest";
import type { Result } from "../../../src/base/result.ts";
import { Collector } from "../../../src/gateway/collector.ts";
import type { StreamPath } from "../../../src/gateway/stream-path.ts";
import { DeadLetters } from "../../../src/ingest/dead-letter.ts";

/** A stream that has a frame of so many readings for each commit. */
function open(readings: number) {
  let first = 0;
  const path = {
    name: "env",
    config: { uplink: "results" },
    intake: {
      pending: readings,
      sources: [],
      take: () => {
        const frame = { stream: "env", first, count: readings };
        first += readings;
        return { frame, newSources: [] };
      },
      markStored: () => {},
    },
    inferredUpTo: () => 0,
    onCommitted: () => {},
    onShed: () => {},
  } as unknown as StreamPath;
  const letters = new DeadLetters();
  const collector = new Collector({ paths: [path], letters, lastTicket: () => first, hasCloud: true });
  const give = (ts: number) => collector.addResult(path, JSON.stringify({ ts }), false);
  const collect = () => {
    const load = collector.collect();
    if (load === null) throw new Error("nothing to commit");
    const sent = load.commit.outbox.map(({ body }) => (JSON.parse(Buffer.from(body).toString()) as Result).ts);
    return { ...load, sent };
  };
  return { letters, give, collect };
}

it("keeps the counts of what was shed until a commit holds them", () => {
  const { collect } = open(5);
  collect().onShed();
  collect().onShed();
  expect(collect().commit.dropped).toEqual([{ stream: "env", reason: "storage", n: 10 }]);
  expect(collect().commit.dropped).toEqual([]);
});

it("leaves results in order when a commit that held some is given up", () => {
  const { collect, give } = open(1);
  give(1);
  give(2);
  const load = collect();
  give(3);
  load.onShed();
  expect(collect().sent).toEqual([1, 2, 3]);
});

it("keeps the dead letters of a commit that is given up", () => {
  const { collect, letters } = open(1);
  const letter = { stream: "env", topic: "motes/m0/env", payload: new Uint8Array(1), size: 1, receivedAt: 0 };
  letters.add({ ...letter, code: "PAYLOAD_INVALID" as never, reason: "no JSON" });
  collect().onShed();
  expect(collect().commit.dead).toHaveLength(1);
});

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { Range } from "../../../src/buffer/commit.ts";
import { Store } from "../../../src/buffer/store.ts";
import { commitOf, frameAt, root, setup, stream } from "../../unit/buffer/store-values.ts";

/** What may happen to a journal. The model beside it is a list of sequence numbers. */
const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("commit" as const), count: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("skip" as const), count: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "merge" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "reopen" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "checkpoint" as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      from: fc.nat(400),
      length: fc.nat(120),
      limit: fc.integer({ min: 1, max: 90 }),
    }),
  },
);

it("answers as a list of readings would, whatever happens in between", () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) => {
      const dir = mkdtempSync(join(tmpdir(), "tidegate-model-"));
      const limits = { maxBytes: 2 ** 30, minFree: { bytes: 0 } };
      const options = { dir, storageRoot: root, streams: [setup()], limits, blockReadings: 32 };
      const open = () => new Store({ ...options, synchronous: "OFF" }, (event) => expect(event).toBeNull());
      let store = open();
      const model: number[] = [];
      let next = 0;
      try {
        for (const step of actions) {
          if (step.do === "commit") {
            store.commit(commitOf([frameAt(next, step.count)]));
            for (let i = 0; i < step.count; i++) model.push(next++);
          } else if (step.do === "skip") next += step.count;
          else if (step.do === "merge") while (store.mergeStep() > 0);
          else if (step.do === "checkpoint") store.checkpoint();
          else if (step.do === "reopen") {
            store.close();
            store = open();
          } else {
            const range: Range = { from: step.from, to: step.from + step.length, limit: step.limit };
            const wanted = model.filter((n) => n >= step.from && n < step.from + step.length);
            const got = store.read(stream, range).flatMap((frame) => {
              const expected = frameAt(frame.first, frame.count);
              expect(frame.values).toEqual(expected.values);
              return Array.from(frame.ts, (_, i) => frame.first + i);
            });
            // At least as many as were asked for, when there are so many; always the first ones, in order.
            expect(got).toEqual(wanted.slice(0, got.length));
            expect(got.length).toBeGreaterThanOrEqual(Math.min(step.limit, wanted.length));
          }
          expect(store.stats().streams[stream]?.readings).toBe(model.length);
        }
      } finally {
        store.close();
        rmSync(dir, { recursive: true, force: true });
      }
    }),
    { numRuns: 40 },
  );
});

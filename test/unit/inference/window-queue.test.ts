import fc from "fast-check";
import { expect, test } from "vitest";
import { WindowQueue, windowColumns } from "../../../src/inference/window-queue.ts";

const action = fc.oneof(
  fc.record({ what: fc.constant("push" as const), count: fc.integer({ min: 1, max: 90 }) }),
  fc.record({ what: fc.constant("take" as const), count: fc.integer({ min: 1, max: 90 }) }),
  fc.record({ what: fc.constant("drop" as const), count: fc.integer({ min: 1, max: 30 }) }),
);

test.each([3, 70])("the ring behaves like a list, with windows of %d values", (width) => {
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 300 }), fc.array(action, { maxLength: 40 }), (limit, actions) => {
      const queue = new WindowQueue(width, limit);
      const model: number[] = [];
      let next = 0;
      for (const { what, count } of actions) {
        if (what === "push") {
          for (let i = 0; i < count && model.length < limit; i++, next++) {
            queue.push(
              next % 7,
              next,
              next * 10,
              next / 2,
              Float32Array.from({ length: width }, (_, k) => next + k),
            );
            model.push(next);
          }
        } else if (what === "drop") {
          const n = Math.min(count, model.length);
          queue.drop(n);
          model.splice(0, n);
        } else {
          const n = Math.min(count, model.length);
          const into = windowColumns(n, new Float32Array(n * width));
          queue.take(n, into);
          const taken = model.splice(0, n);
          expect([...into.sequences]).toEqual(taken);
          expect([...into.sources]).toEqual(taken.map((each) => each % 7));
          expect([...into.ts]).toEqual(taken.map((each) => each * 10));
          expect([...into.arrived]).toEqual(taken.map((each) => each / 2));
          expect([...into.values]).toEqual(taken.flatMap((each) => Array.from({ length: width }, (_, k) => each + k)));
        }
        expect(queue.length).toBe(model.length);
        expect(queue.oldest).toBe(model[0] ?? Number.POSITIVE_INFINITY);
      }
    }),
    { numRuns: 40 },
  );
});

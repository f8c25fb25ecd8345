import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addSpan, Received, type Spans } from "../../../src/coordinator/received.ts";
import type { BatchHead } from "../../../src/wire/batch-head.ts";

/** A head with these numbers; `after` is the number before the first unless given. */
function headOf(numbers: readonly number[], change: Partial<BatchHead> = {}): BatchHead {
  const [n = 0, last = 0] = [numbers[0], numbers.at(-1)];
  return {
    ...{ fleet: "demo", gateway: "gw-1", incarnation: "i1", stream: "env", lane: "rest", kind: "result" },
    ...{ n, last, count: numbers.length, steps: numbers.slice(1).map((number, i) => number - (numbers[i] ?? 0)) },
    ...{ after: n - 1, floor: 0, size: 1, at: 0, to: "0".repeat(32), signer: new Uint8Array(32) },
    ...change,
  };
}

describe("spans", () => {
  it("hold what a set of numbers holds, apart and in order", () => {
    const span = fc.tuple(fc.integer({ min: -2, max: 40 }), fc.integer({ min: 1, max: 8 }));
    fc.assert(
      fc.property(fc.array(span, { maxLength: 20 }), (added) => {
        let spans: Spans = [];
        const expected = new Set<number>();
        for (const [above, length] of added) {
          spans = addSpan(spans, above, above + length);
          for (let n = above + 1; n <= above + length; n++) expected.add(n);
        }
        const actual = spans.flatMap(([above, upTo]) => Array.from({ length: upTo - above }, (_, i) => above + 1 + i));
        expect(actual).toEqual([...expected].sort((a, b) => a - b));
        for (const [i, [above, upTo]] of spans.entries()) {
          expect(upTo).toBeGreaterThan(above);
          if (i > 0) expect(above).toBeGreaterThan(spans[i - 1]?.[1] ?? 0);
        }
      }),
    );
  });
});

describe("what a sink has received", () => {
  it("is told line by line, however batches are cut anew", () => {
    const received = new Received();
    received.add(headOf([1, 2, 3, 4]));
    expect(received.missing(headOf([1, 2, 3, 4]))).toEqual([]);
    expect(received.missing(headOf([3, 4, 5, 6]))).toEqual([2, 3]);
    expect(received.missing(headOf([5, 6]))).toEqual([0, 1]);
  });

  it("is apart for each gateway, incarnation, lane and stream", () => {
    const received = new Received();
    received.add(headOf([1, 2]));
    for (const change of [{ gateway: "gw-2" }, { incarnation: "i2" }, { lane: "alarm" }, { stream: "air" }] as const) {
      expect(received.missing(headOf([1, 2], change))).toEqual([0, 1]);
    }
  });

  it("has no gaps where other streams have the numbers between", () => {
    const received = new Received();
    received.add(headOf([1, 4, 9], { floor: 1 }));
    received.add(headOf([12, 13], { after: 9, floor: 2 }));
    expect(received.missing(headOf([12, 13, 20], { after: 9 }))).toEqual([2]);
    expect([...received.records()][0]?.spans).toEqual([[-2, 13]]);
  });

  it("takes a backlog beside live data, and closes the gap", () => {
    const received = new Received();
    received.add(headOf([1_001, 1_002], { after: 1_000, floor: 1 }));
    expect(received.missing(headOf([1, 2], { floor: 1 }))).toEqual([0, 1]);
    received.add(headOf([1, 2], { floor: 1 }));
    received.add(headOf([3, 1_000], { after: 2, floor: 3 }));
    expect([...received.records()][0]?.spans).toEqual([[-2, 1_002]]);
  });

  it("stays small when other sinks take every second batch", () => {
    const received = new Received();
    for (let n = 1; n < 2_000; n += 2) received.add(headOf([n], { floor: n }));
    expect([...received.records()][0]?.spans.length).toBeLessThan(3);
  });

  it("comes back from its records", () => {
    const received = new Received();
    received.add(headOf([1, 2]));
    received.add(headOf([5, 6], { lane: "alarm" }));
    const again = new Received(received.records());
    expect(again.missing(headOf([1, 2, 3]))).toEqual([2]);
    expect([...again.records()]).toEqual([...received.records()]);
  });

  it("forgets lives long gone, and says so", () => {
    const received = new Received();
    const records = ["a", "b", "c", "d", "e"].flatMap((incarnation) => received.add(headOf([1], { incarnation })));
    expect(records.filter(({ spans }) => spans.length === 0)).toEqual([{ domain: "demo/gw-1/a/rest/env", spans: [] }]);
    expect(received.size).toBe(4);
  });

  it("does not change with what is added to a copy", () => {
    const received = new Received();
    received.add(headOf([1]));
    const copy = received.fork([headOf([2])]);
    copy.add(headOf([2]));
    expect(copy.missing(headOf([1, 2]))).toEqual([]);
    expect(received.missing(headOf([1, 2]))).toEqual([1]);
  });

  it("lets every line through once, whatever is repeated, cut anew, or overtaken", () => {
    const cut = fc.record({ from: fc.integer({ min: 1, max: 50 }), length: fc.integer({ min: 1, max: 12 }) });
    fc.assert(
      fc.property(fc.array(cut, { maxLength: 40 }), (cuts) => {
        const received = new Received();
        const seen = new Set<number>();
        for (const { from, length } of cuts) {
          const numbers = Array.from({ length }, (_, i) => from + i);
          const head = headOf(numbers);
          for (const i of received.missing(head)) {
            expect(seen.has(from + i)).toBe(false);
            seen.add(from + i);
          }
          received.add(head);
          expect(numbers.every((n) => seen.has(n))).toBe(true);
        }
      }),
    );
  });
});

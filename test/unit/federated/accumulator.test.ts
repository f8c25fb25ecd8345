import { describe, expect, it, test } from "vitest";
import { seededRandom, shuffle } from "../../../src/base/random.ts";
import { Accumulator } from "../../../src/federated/accumulator.ts";
import { type DecodedBody, decodeBody, encodeBody } from "../../../src/federated/update-body.ts";
import { change, headers, nameOf, spaceOf } from "./codec-fixture.ts";

const length = 500;

/** Bodies of every codec and support, with weights. */
const updates = Array.from({ length: 30 }, (_, i) => {
  const header = headers[i % headers.length] ?? headers[0];
  if (!header) throw new Error("there are headers");
  const space = spaceOf(header, length);
  return { body: decodeBody(encodeBody(change(length, i), space, seededRandom(i)), space), weight: 2 ** (i % 17) };
});

/** The sums by arithmetic that has no limit. */
function exact(all: readonly { body: DecodedBody; weight: number }[]): bigint[] {
  const sums = Array.from({ length }, () => 0n);
  for (const { body, weight } of all)
    for (const [i, value] of body.values.entries()) {
      const at = body.indices?.[i] ?? i;
      sums[at] = (sums[at] ?? 0n) + BigInt(weight) * BigInt(value);
    }
  return sums;
}

function sumsOf(accumulator: Accumulator): bigint[] {
  const { buffer } = accumulator.partial();
  return [...new BigInt64Array(buffer, 24)];
}

test("sums are exact", () => {
  const accumulator = new Accumulator(length);
  for (const { body, weight } of updates) accumulator.add(body, weight);
  expect(sumsOf(accumulator)).toEqual(exact(updates));
  const weight = updates.reduce((sum, each) => sum + each.weight, 0);
  const mean = accumulator.mean(2 ** 24);
  for (const [i, sum] of exact(updates).entries()) expect(mean[i]).toBeCloseTo(Number(sum) / weight / 2 ** 24, 9);
});

test("sums are exact beyond what a float64 holds", () => {
  const most = { indices: null, values: new Int32Array(length).fill(2 ** 30) };
  const least = { indices: null, values: new Int32Array(length).fill(-(2 ** 30) + 1) };
  const all = Array.from({ length: 1_000 }, (_, i) => ({ body: i % 3 === 0 ? least : most, weight: 2 ** 16 }));
  const accumulator = new Accumulator(length);
  for (const { body, weight } of all) accumulator.add(body, weight);
  const sums = exact(all);
  expect(sums[0] ?? 0n).toBeGreaterThan(2n ** 53n);
  expect(sumsOf(accumulator)).toEqual(sums);
});

describe("the bytes of a sum", () => {
  const whole = new Accumulator(length);
  for (const { body, weight } of updates) whole.add(body, weight);

  it("do not depend on the order of arrival", () => {
    for (let seed = 1; seed < 10; seed++) {
      const mixed = [...updates];
      shuffle(mixed, seededRandom(seed));
      const other = new Accumulator(length);
      for (const { body, weight } of mixed) other.add(body, weight);
      expect(other.partial()).toEqual(whole.partial());
      expect(other.mean(2 ** 24)).toEqual(whole.mean(2 ** 24));
    }
  });

  it("do not depend on restarts, nor on how replicas share the work", () => {
    for (let parts = 1; parts <= 5; parts++) {
      const replicas = Array.from({ length: parts }, () => new Accumulator(length));
      for (const [i, { body, weight }] of updates.entries()) {
        const at = i % parts;
        replicas[at]?.add(body, weight);
        if (i % 4 !== 3) continue;
        const restarted = new Accumulator(length);
        restarted.merge(replicas[at]?.partial() ?? new Uint8Array());
        replicas[at] = restarted;
      }
      const merged = new Accumulator(length);
      for (const replica of replicas.toReversed()) merged.merge(replica.partial());
      expect(merged.partial()).toEqual(whole.partial());
      expect([merged.updates, merged.weight]).toEqual([whole.updates, whole.weight]);
    }
  });

  it("that are not those of this model are refused, and change nothing", () => {
    const good = whole.partial();
    const accumulator = new Accumulator(length);
    const refused = [
      good.subarray(0, 100),
      Uint8Array.of(...good, 0),
      good.map((byte, i) => (i === 0 ? byte ^ 1 : byte)),
    ];
    const weightless = good.slice();
    new DataView(weightless.buffer).setFloat64(16, Number.NaN, true);
    for (const bytes of [...refused, weightless, new Accumulator(length + 1).partial(), new Uint8Array()])
      expect(() => accumulator.merge(bytes)).toThrow(/partial sum/);
    expect(accumulator.partial()).toEqual(new Accumulator(length).partial());
  });
});

test("there is no mean of nothing", () => {
  expect(() => new Accumulator(3).mean(1)).toThrow(/no update/);
});

test("its memory does not grow with the number of updates", () => {
  const large = new Accumulator(100_000);
  const header = headers.find((each) => nameOf(each) === "sign 1, listed");
  if (!header) throw new Error("there is such a header");
  const space = spaceOf(header, 100_000);
  const body = encodeBody(change(100_000, 1), space, seededRandom(1));
  large.add(decodeBody(body, space));
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 500; i++) large.add(decodeBody(body, space));
  globalThis.gc?.();
  // 500 dense updates would be 200 MB; decoded bodies of 16 KB each wait for the collector.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20e6);
});

import { expect, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { applyChange, PublishedVersions } from "../../../src/federated/published-versions.ts";
import { change, headers, nameOf, spaceOf } from "./codec-fixture.ts";

const length = 2_000;
const lossy = headers.filter(({ support }) => support === "listed" || support === "dense");

test.each(lossy.map((header) => [nameOf(header), header] as const))(
  "%s: gateways of any version come to the newest bit by bit, and it to where the weights stand",
  (_, header) => {
    const space = spaceOf(header, length, 0.1);
    const target = change(length, 1);
    const versions = new PublishedVersions(target, space);
    let gateway: Float32Array = target.slice();
    for (let round = 1; round <= 100; round++) {
      // It moves for a while, then stands.
      if (round < 20) for (const [i, step] of change(length, round + 1).entries()) target[i] = (target[i] ?? 0) + step;
      const body = versions.publish(target, seededRandom(round));
      gateway = applyChange(gateway, body ?? new Uint8Array(), space);
      expect(gateway).toEqual(versions.weights);
    }
    const away = Math.hypot(...target.map((value, i) => value - (gateway[i] ?? 0)));
    expect(away / Math.hypot(...target)).toBeLessThan(0.01);
  },
);

test("a gateway fetches the changes that it has not, or the whole where that is less", () => {
  const header = lossy.find((each) => nameOf(each) === "quantized 4, listed");
  if (!header) throw new Error("there is such a header");
  const versions = new PublishedVersions(new Float32Array(length), spaceOf(header, length, 0.1));
  const sizes = Array.from(
    { length: 100 },
    (_, i) => versions.publish(change(length, i), seededRandom(i))?.length ?? 0,
  );
  expect(versions.newest).toBe(100);
  expect(versions.bytesFrom(100)).toBe(0);
  expect(versions.bytesFrom(97)).toBe(sizes.slice(97).reduce((sum, size) => sum + size, 0));
  expect(versions.bytesFrom(0)).toBe(4 * length);
  expect(new PublishedVersions(new Float32Array(length)).publish(change(length, 1), seededRandom(1))).toBeNull();
});

import { expect, test } from "vitest";
import { tensor } from "../../../src/base/tensor.ts";
import { DataAssembly, takeApart } from "../../../src/train/data-transfer.ts";
import { waveData } from "../../support/training.ts";

test("a data set arrives as it left, in parts of bounded size", () => {
  const large = new Float32Array(700_000).map((_, index) => index);
  const set = {
    ...waveData(50),
    fixedTest: Int32Array.of(3, 4),
    data: {
      ...waveData(50).data,
      large: tensor("float32", [700_000], large),
      bytes: tensor("uint8", [3], Uint8Array.of(1, 2, 255)),
      big: tensor("int64", [2], BigInt64Array.of(1n, -(2n ** 62n))),
    },
  };
  const { head, parts } = takeApart(set);
  const assembly = new DataAssembly(structuredClone(head));
  const all = [...parts];
  for (const part of all) assembly.add({ ...part, bytes: part.bytes.slice() });
  expect(Math.max(...all.map(({ bytes }) => bytes.length))).toBe(2 ** 20);
  expect(assembly.finish()).toEqual(set);
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { gradients } from "../../../src/autodiff/gradient-table.ts";
import type { Argument, GradientCase } from "../../support/gradient-cases.ts";
import { type Drawn, draw, errorOf, resultsOf } from "../../support/gradient-check.ts";
import { NdArray } from "../../support/naive/array.ts";

/** One line of gradients.json: see gradients.py, which made it. */
type Row = Pick<GradientCase, "outputs" | "weights"> & {
  readonly op: string;
  readonly attributes: NonNullable<GradientCase["attributes"]>;
  readonly inputs: readonly {
    readonly kind: "real" | "int64" | "bool";
    readonly dims: readonly number[];
    readonly values: readonly number[];
  }[];
  /** By input; null where PyTorch was not asked. */
  readonly gradients: readonly (readonly number[] | null)[];
};

const file = join(import.meta.dirname, "../../support/pytorch/gradients.json");
const rows: readonly Row[] = JSON.parse(readFileSync(file, "utf8"));

const caseOf = ({ inputs, gradients: found, ...rest }: Row): GradientCase => ({
  ...rest,
  inputs: inputs.map((input, place): Argument => {
    const isWanted = found[place] !== null;
    return { ...input, isWanted, isFed: isWanted || input.kind === "bool" };
  }),
});

const groups = [...Map.groupBy(rows, ({ op }) => op)];

test.each(groups)("%s as PyTorch has it in float64", async (op, group) => {
  const drawn = group.map((row, index): Drawn => {
    const own = draw(op, caseOf(row), index);
    const expected = row.gradients.map((values, place) =>
      values ? new NdArray(row.inputs[place]?.dims ?? [], values) : undefined,
    );
    // The naive forward passes, by central differences, which all other cases are held to.
    for (const [place, gradient] of expected.entries())
      if (gradient) expect(errorOf([...(own.expected[place]?.data ?? [])], [...gradient.data])).toBeLessThan(1e-7);
    return { ...own, expected };
  });
  for (const { label, actual, expected } of await resultsOf(drawn, "float32", {}, ["sizes"]))
    expect(errorOf(actual, expected), label).toBeLessThan(5e-6);
});

/** Held to account elsewhere: recurrent.test.ts, operator-classes.test.ts (Cast), gradients-normalizations.test.ts (Dropout). */
const elsewhere = ["Cast", "CastLike", "Dropout", "GRU", "LSTM", "RNN"];

test("every other operator with a rule is among them", () => {
  const there = new Set([...elsewhere, ...groups.map(([op]) => op)]);
  expect(Object.keys(gradients).filter((op) => !there.has(op))).toEqual([]);
});

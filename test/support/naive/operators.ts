import type { NdArray } from "./array.ts";
import { elementwise } from "./elementwise.ts";
import { losses } from "./losses.ts";
import { normalizations } from "./normalizations.ts";
import { placement } from "./placement.ts";
import { products } from "./products.ts";
import { reductions } from "./reductions.ts";
import { selection } from "./selection.ts";
import { windows } from "./windows.ts";

export type NaiveInputs = readonly (NdArray | undefined)[];
export type NaiveAttributes = Readonly<Record<string, number | string | readonly number[]>>;

/** Integers and booleans come as numbers. Gives the real outputs, in order; further ones carry no gradient. */
export type Naive = (inputs: NaiveInputs, attributes: NaiveAttributes) => readonly NdArray[];

/**
 * What each operator (of opset 21) computes, in float64, written from its definition alone.
 *
 * To hold the gradient of another operator to account, add a row here (a file for each family) and call
 * `checkGradients("Op", …)` with ten configurations or more in a test under test/unit/autodiff: see
 * ../gradient-check.ts for what is then checked, and test/unit/autodiff/gradients-*.test.ts for examples.
 */
export const naive: Readonly<Record<string, Naive>> = {
  ...elementwise,
  ...products,
  ...reductions,
  ...placement,
  ...selection,
  ...losses,
  ...windows,
  ...normalizations,
};

import type { Naive } from "./operators.ts";
export const products: Readonly<Record<string, Naive>> = {};

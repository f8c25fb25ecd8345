import type { Naive } from "./operators.ts";
export const reductions: Readonly<Record<string, Naive>> = {};

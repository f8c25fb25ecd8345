import type { Naive } from "./operators.ts";
export const placement: Readonly<Record<string, Naive>> = {};

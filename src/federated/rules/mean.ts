import type { SumRule } from "./rule.ts";

/** The weighted mean: right when every gateway is honest. */
export const mean: SumRule = { memory: "sum", factor: () => 1 };

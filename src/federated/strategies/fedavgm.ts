import type { Strategy } from "./strategy.ts";

/**
 * m = momentum * m + change; w += eta * m
 * @see Hsu et al. 2019, "Measuring the effects of non-identical data distribution for federated visual classification"
 */
export const fedavgm: Strategy = {
  slots: { momentum: () => 0 },
  step: ({ weights, slots: [m = new Float32Array()] }, change, { rate, momentum }) => {
    for (let i = 0; i < weights.length; i++) {
      m[i] = momentum * (m[i] as number) + (change[i] as number);
      weights[i] = (weights[i] as number) + rate * (m[i] as number);
    }
  },
};

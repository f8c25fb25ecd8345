import type { Strategy } from "./strategy.ts";

/**
 * w += eta * change
 * @see McMahan et al. 2017, "Communication-efficient learning of deep networks from decentralized data"
 */
export const fedavg: Strategy = {
  slots: {},
  step: ({ weights }, change, { rate }) => {
    for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] as number) + rate * (change[i] as number);
  },
};

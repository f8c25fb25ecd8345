import type { Strategy, StrategyOptions } from "./strategy.ts";

/**
 * m = beta1 * m + (1 - beta1) * change; v by its rule; w += eta * m / (sqrt(v) + tau). m starts at 0, v at tau^2, and
 * neither is corrected for it.
 *
 * @param square  the new v from the old one and the square of the change
 * @see Reddi et al. 2021, "Adaptive federated optimization", algorithm 2
 */
export const adaptive = (square: (v: number, squared: number, options: StrategyOptions) => number): Strategy => ({
  slots: { mean: () => 0, square: ({ tau }) => tau * tau },
  step: ({ weights, slots: [m = new Float32Array(), v = new Float32Array()] }, change, options) => {
    const { rate, beta1, tau } = options;
    for (let i = 0; i < weights.length; i++) {
      const delta = change[i] as number;
      m[i] = beta1 * (m[i] as number) + (1 - beta1) * delta;
      v[i] = square(v[i] as number, delta * delta, options);
      weights[i] = (weights[i] as number) + (rate * (m[i] as number)) / (Math.sqrt(v[i] as number) + tau);
    }
  },
});

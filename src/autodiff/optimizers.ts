import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";

/** How weights follow their gradient. What is left out has the default that it says. */
export type OptimizerSpec = {
  readonly kind: keyof typeof optimizers;
  /** sgd: share of the last step that is kept. Default 0. */
  readonly momentum?: number;
  /** sgd: look ahead along the momentum (Nesterov 1983). Default false. */
  readonly nesterov?: boolean;
  /** Adam: memory of the gradient. Default 0.9. */
  readonly beta1?: number;
  /** Adam: memory of its square. Default 0.999. */
  readonly beta2?: number;
  /** RMSProp: memory of the square. Default 0.99. */
  readonly decay?: number;
  /** Added to the divisor. Default 1e-8 (AdaGrad: 1e-10). */
  readonly epsilon?: number;
  /** Pull of all weights towards 0: in the gradient (L2), with adamw beside it. Default 0; adamw 0.01. */
  readonly weightDecay?: number;
};

export type Update = {
  readonly weights: Value;
  /** In the order of `slots`. */
  readonly slots: readonly Value[];
};

type UpdateInputs = {
  /** float32 [parameters] */
  readonly weights: Value;
  readonly gradient: Value;
  readonly slots: readonly Value[];
  /** Learning rate, float32 scalar. */
  readonly rate: Value;
  /** 1 for the first update, float32 scalar. */
  readonly step: Value;
};

type Optimizer = {
  /** Flat vectors beside the weights that it keeps, zeros at first. */
  readonly slots: (spec: OptimizerSpec) => readonly string[];
  readonly update: (g: GraphBuilder, at: UpdateInputs, spec: OptimizerSpec) => Update;
};

/** Keeps `share` of the old and takes the rest of the new. */
const blend = (g: GraphBuilder, old: Value, fresh: Value, share: number): Value =>
  g.add(g.mul(old, share), g.mul(fresh, 1 - share));

const decayed = (g: GraphBuilder, { weights, gradient }: UpdateInputs, { weightDecay = 0 }: OptimizerSpec): Value =>
  weightDecay === 0 ? gradient : g.add(gradient, g.mul(weights, weightDecay));

const descend = (g: GraphBuilder, weights: Value, rate: Value, direction: Value): Value =>
  g.sub(weights, g.mul(direction, rate));

/**
 * rate * mean / (sqrt(square) + epsilon), both corrected for having started at 0 (Kingma and Ba 2015, section 2). The slots
 * hold mean / (1 - beta1) and square / (1 - beta2), and corrections are taken into two scalars: the vectors are passed over
 * as seldom as can be.
 */
function adamStep(g: GraphBuilder, at: UpdateInputs, gradient: Value, weights: Value, spec: OptimizerSpec): Update {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = spec;
  const [m, v] = at.slots as readonly [Value, Value];
  const mean = g.add(g.mul(m, beta1), gradient);
  const square = g.add(g.mul(v, beta2), g.square(gradient));
  // In float64: near 1, float32 keeps too few digits of 1 - 0.999.
  const step = g.cast(at.step, "float64");
  const correction1 = g.cast(g.div(g.sub(1, g.pow(beta1, step)), 1 - beta1), "float32");
  const correction2 = g.cast(g.sqrt(g.div(g.sub(1, g.pow(beta2, step)), 1 - beta2)), "float32");
  const scale = g.div(g.mul(at.rate, correction2), correction1);
  const divisor = g.add(g.sqrt(square), g.mul(correction2, epsilon));
  return { weights: g.sub(weights, g.mul(g.div(mean, divisor), scale)), slots: [mean, square] };
}

/** Optimizers as fragments of a graph, by name; all take the flat vectors of weights and gradient. */
export const optimizers = {
  sgd: {
    slots: ({ momentum = 0 }) => (momentum === 0 ? [] : ["velocity"]),
    update: (g, at, spec) => {
      const { momentum = 0, nesterov = false } = spec;
      const gradient = decayed(g, at, spec);
      const [last] = at.slots;
      if (!last) return { weights: descend(g, at.weights, at.rate, gradient), slots: [] };
      const velocity = g.add(g.mul(last, momentum), gradient);
      const direction = nesterov ? g.add(gradient, g.mul(velocity, momentum)) : velocity;
      return { weights: descend(g, at.weights, at.rate, direction), slots: [velocity] };
    },
  },
  adagrad: {
    slots: () => ["square"],
    update: (g, at, spec) => {
      const gradient = decayed(g, at, spec);
      const [sum] = at.slots as readonly [Value];
      const square = g.add(sum, g.square(gradient));
      const direction = g.div(gradient, g.add(g.sqrt(square), spec.epsilon ?? 1e-10));
      return { weights: descend(g, at.weights, at.rate, direction), slots: [square] };
    },
  },
  rmsprop: {
    slots: () => ["square"],
    update: (g, at, spec) => {
      const gradient = decayed(g, at, spec);
      const [mean] = at.slots as readonly [Value];
      const square = blend(g, mean, g.square(gradient), spec.decay ?? 0.99);
      const direction = g.div(gradient, g.add(g.sqrt(square), spec.epsilon ?? 1e-8));
      return { weights: descend(g, at.weights, at.rate, direction), slots: [square] };
    },
  },
  adam: {
    slots: () => ["mean", "square"],
    update: (g, at, spec) => adamStep(g, at, decayed(g, at, spec), at.weights, spec),
  },
  adamw: {
    slots: () => ["mean", "square"],
    update: (g, at, spec) => {
      const { weightDecay = 0.01 } = spec;
      const pulled = g.mul(at.weights, g.sub(1, g.mul(at.rate, weightDecay)));
      return adamStep(g, at, at.gradient, pulled, spec);
    },
  },
} as const satisfies Record<string, Optimizer>;

/** The optimizer of a specification. */
export const optimizerOf = (spec: OptimizerSpec): Optimizer => optimizers[spec.kind];

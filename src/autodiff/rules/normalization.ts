import type { GraphBuilder, Value } from "../../onnx/graph-builder.ts";
import { reshapeLike, unbroadcast } from "../broadcasting.ts";
import type { GradientRule, NodeGradient } from "../rule.ts";

/** Layers that subtract a mean and divide by a deviation, and Dropout. */
export const normalization: Readonly<Record<string, GradientRule>> = {
  BatchNormalization: (at) => {
    const { g, a: x, b: scale, dY } = at;
    const others = axesBut(at.rank(x, "what is normalised"), [1]);
    const isTraining = at.number("training_mode", 0) === 1;
    const epsilon = at.number("epsilon", 1e-5);
    const along = (vector: Value): Value => perChannel(at, vector);
    const { hat, inverse } = isTraining
      ? standardised(g, x, others, epsilon)
      : affine(g, x, along(at.input(3)), along(at.input(4)), epsilon);
    const dHat = g.mul(dY, along(scale));
    const dX = isTraining ? throughMoments(g, dHat, hat, inverse, others) : g.mul(dHat, inverse);
    const dScale = g.sum(g.mul(dY, hat), others);
    const dBias = g.sum(dY, others);
    if (isTraining) return [dX, dScale, dBias];
    // Moments that are computed by the model have a gradient, too.
    const inverses = reshapeLike(g, inverse, scale);
    const factor = g.mul(inverses, scale);
    const dVariance = g.mul(g.mul(g.mul(factor, inverses), dScale), -0.5);
    return [dX, dScale, dBias, g.neg(g.mul(factor, dBias)), dVariance];
  },
  LayerNormalization: (at) => {
    const { g, a: x, b: scale, y, dY } = at;
    const rank = at.rank(x, "what is normalised");
    const axis = at.number("axis", -1);
    const axes = range(rank).slice(axis);
    const mean = at.given(1, "mean", "float32");
    const inverse = at.given(2, "inverse", "float32");
    const hat = g.know(g.mul(g.sub(x, mean), inverse), { shape: x.shape });
    const dX = throughMoments(g, g.mul(dY, scale), hat, inverse, axes);
    const bias = at.inputs[2];
    return [dX, unbroadcast(g, g.mul(dY, hat), scale, y), bias && unbroadcast(g, dY, bias, y)];
  },
  InstanceNormalization: (at) => {
    const { g, a: x, b: scale, dY } = at;
    const rank = at.rank(x, "what is normalised");
    const space = axesBut(rank, [0, 1]);
    const { hat, inverse } = standardised(g, x, space, at.number("epsilon", 1e-5));
    const dX = throughMoments(g, g.mul(dY, perChannel(at, scale)), hat, inverse, space);
    const others = axesBut(rank, [1]);
    return [dX, g.sum(g.mul(dY, hat), others), g.sum(dY, others)];
  },
  GroupNormalization: (at) => {
    const { g, a: x, b: scale, dY } = at;
    const others = axesBut(at.rank(x, "what is normalised"), [1]);
    const grouped = (value: Value): Value => g.reshape(value, [0, at.number("num_groups", 1), -1]);
    const { hat, inverse } = standardised(g, grouped(x), [2], at.number("epsilon", 1e-5));
    const dX = throughMoments(g, grouped(g.mul(dY, perChannel(at, scale))), hat, inverse, [2]);
    return [reshapeLike(g, dX, x), g.sum(g.mul(dY, reshapeLike(g, hat, x)), others), g.sum(dY, others)];
  },
  // In inference it gives its input. (TrainingMode writes it otherwise while a model is trained.)
  Dropout: (at) => {
    const { g, inputs, dY } = at;
    if (!inputs[2] || at.fixed(2, "its mode")?.[0] === 0) return [dY];
    const mask = at.given(1, "mask", "bool");
    return [g.where(mask, g.div(dY, g.sub(1, inputs[1] ?? 0.5)), 0)];
  },
};

const range = (length: number): number[] => Array.from({ length }, (_, index) => index);

const axesBut = (rank: number, kept: readonly number[]): number[] => range(rank).filter((axis) => !kept.includes(axis));

/** A vector with one number for each channel, so that it stands along axis 1. */
function perChannel(at: NodeGradient, vector: Value): Value {
  const rank = at.rank(at.a, "what is normalised");
  return at.g.reshape(vector, [1, -1, ...range(rank - 2).map(() => 1)]);
}

type Standardised = {
  /** (x - mean) / deviation */
  readonly hat: Value;
  /** 1 / deviation */
  readonly inverse: Value;
};

function affine(g: GraphBuilder, x: Value, mean: Value, variance: Value, epsilon: number): Standardised {
  const inverse = g.reciprocal(g.sqrt(g.add(variance, epsilon)));
  return { hat: g.mul(g.sub(x, mean), inverse), inverse };
}

/** By its own moments over some axes; the variance is the biased one. */
function standardised(g: GraphBuilder, x: Value, axes: readonly number[], epsilon: number): Standardised {
  const centred = g.sub(x, g.mean(x, axes, { keep: true }));
  const inverse = g.reciprocal(g.sqrt(g.add(g.mean(g.square(centred), axes, { keep: true }), epsilon)));
  return { hat: g.mul(centred, inverse), inverse };
}

/** Every number of a group also moves the group's mean and deviation: what it moves them by is taken away. */
function throughMoments(g: GraphBuilder, dHat: Value, hat: Value, inverse: Value, axes: readonly number[]): Value {
  const kept = { keep: true };
  const direct = g.sub(dHat, g.mean(dHat, axes, kept));
  return g.mul(inverse, g.sub(direct, g.mul(hat, g.mean(g.mul(dHat, hat), axes, kept))));
}

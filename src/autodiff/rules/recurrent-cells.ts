import { scan } from "../../onnx/control-flow.ts";
import type { GraphBuilder, Value } from "../../onnx/graph-builder.ts";
import type { NodeGradient } from "../rule.ts";

/** One direction of a recurrent layer: what went in and came out, and the gradient at what came out. */
export type CellRun = {
  readonly at: NodeGradient;
  /** [time, batch, inputs] */
  readonly x: Value;
  /** [gates * hidden, inputs] and [gates * hidden, hidden] */
  readonly w: Value;
  readonly r: Value;
  /** [gates * hidden] each */
  readonly bias: { readonly w: Value; readonly r: Value } | undefined;
  readonly hidden: number;
  /** The recurrence walks from the last step to the first. */
  readonly isReverse: boolean;
  /** Hidden states after each step, and before it: [time, batch, hidden] */
  readonly h: Value;
  readonly previous: Value;
  /** [batch, hidden] */
  readonly firstCell: Value | undefined;
  /** Gradient at all hidden states [time, batch, hidden], and at the last states [batch, hidden]. */
  readonly dH: Value;
  readonly dLast: Value;
  readonly dLastCell: Value | undefined;
};

export type CellGradients = {
  /** At the sums that the gates are functions of, from the side of the inputs: [time, batch, gates * hidden] */
  readonly dGates: Value;
  /** The same from the side of the hidden state: another one only where a gate stands between. */
  readonly dRecurrent: Value;
  readonly dR: Value;
  readonly dFirst: Value;
  readonly dFirstCell?: Value;
};

export type Cell = {
  readonly gates: number;
  readonly activations: readonly string[];
  readonly hasCellState: boolean;
  readonly backward: (g: GraphBuilder, run: CellRun) => CellGradients;
};

/** h' = tanh(x W + h R + b) */
const rnn: Cell = {
  gates: 1,
  activations: ["Tanh"],
  hasCellState: false,
  backward: (g, run) => {
    const slope = g.sub(1, g.square(run.h));
    const { carry, scans } = walkBack(g, run, [run.dLast], [run.dH, slope], (b, [dh], [dY, dTanh]) => {
      const dGate = b.mul(b.add(dh, dY), dTanh);
      return { carry: [b.matmul(dGate, run.r)], scans: [dGate] };
    });
    const [dGates] = scans;
    return { dGates, dRecurrent: dGates, dR: productOverSteps(g, dGates, run.previous), dFirst: carry[0] };
  },
};

/** z, r: sigmoid; n = tanh; h' = (1 - z) n + z h. Gates in the order z r n. */
const gru: Cell = {
  gates: 3,
  activations: ["Sigmoid", "Tanh"],
  hasCellState: false,
  backward: (g, run) => (run.at.number("linear_before_reset", 0) === 0 ? gruResetFirst(g, run) : gruResetLast(g, run)),
};

/** n = tanh(x Wn + r (h Rn + bRn) + bWn), as most frameworks have it. */
function gruResetLast(g: GraphBuilder, run: CellRun): CellGradients {
  const fromX = thirds(g, run, plus(g, times(g, run.x, run.w), run.bias?.w));
  const fromH = thirds(g, run, plus(g, times(g, run.previous, run.r), run.bias?.r));
  const z = g.sigmoid(g.add(fromX[0], fromH[0]));
  const r = g.sigmoid(g.add(fromX[1], fromH[1]));
  const n = g.tanh(g.add(fromX[2], g.mul(r, fromH[2])));
  const dZ = g.mul(g.sub(run.previous, n), sigmoidSlope(g, z));
  const dN = g.mul(g.sub(1, z), g.sub(1, g.square(n)));
  const dR = g.mul(g.mul(dN, fromH[2]), sigmoidSlope(g, r));
  const factors = g.concat([dZ, dR, g.mul(dN, r)], 2);
  const { carry, scans } = walkBack(g, run, [run.dLast], [run.dH, factors, z], (b, [last], [dY, factor, keep]) => {
    const dh = b.add(last, dY);
    const gates = b.mul(b.concat([dh, dh, dh], 1), factor);
    return { carry: [b.add(b.mul(dh, keep), b.matmul(gates, run.r))], scans: [gates, dh] };
  });
  const [dRecurrent, dh] = scans;
  const [zPart, rPart] = thirds(g, run, dRecurrent);
  const dGates = g.concat([zPart, rPart, g.mul(dh, dN)], 2);
  return { dGates, dRecurrent, dR: productOverSteps(g, dRecurrent, run.previous), dFirst: carry[0] };
}

/** n = tanh(x Wn + (r h) Rn + bRn + bWn), the operator's default. */
function gruResetFirst(g: GraphBuilder, run: CellRun): CellGradients {
  const { hidden } = run;
  const [rz, rr, rn] = g.split(run.r, [hidden, hidden, hidden], 3) as [Value, Value, Value];
  const both = g.concat([rz, rr], 0);
  const [xz, xr, xn] = thirds(g, run, plus(g, times(g, run.x, run.w), wholeBias(g, run)));
  const z = g.sigmoid(g.add(xz, times(g, run.previous, rz)));
  const r = g.sigmoid(g.add(xr, times(g, run.previous, rr)));
  const reset = g.mul(r, run.previous);
  const n = g.tanh(g.add(xn, times(g, reset, rn)));
  const dZ = g.mul(g.sub(run.previous, n), sigmoidSlope(g, z));
  const dN = g.mul(g.sub(1, z), g.sub(1, g.square(n)));
  const dR = g.mul(run.previous, sigmoidSlope(g, r));
  const { carry, scans } = walkBack(
    g,
    run,
    [run.dLast],
    [run.dH, dZ, dN, dR, z, r],
    (b, [last], [dY, fz, fn, fr, keep, open]) => {
      const dh = b.add(last, dY);
      const gateN = b.mul(dh, fn);
      const dReset = b.matmul(gateN, rn);
      const gatesZR = b.concat([b.mul(dh, fz), b.mul(dReset, fr)], 1);
      const kept = b.add(b.mul(dh, keep), b.mul(dReset, open));
      return { carry: [b.add(kept, b.matmul(gatesZR, both))], scans: [gatesZR, gateN] };
    },
  );
  const [gatesZR, gateN] = scans;
  const dGates = g.concat([gatesZR, gateN], 2);
  const dR2 = g.concat([productOverSteps(g, gatesZR, run.previous), productOverSteps(g, gateN, reset)], 0);
  return { dGates, dRecurrent: dGates, dR: dR2, dFirst: carry[0] };
}

/** i, o, f: sigmoid; n = tanh; c' = f c + i n; h' = o tanh(c'). Gates in the order i o f n. */
const lstm: Cell = {
  gates: 4,
  activations: ["Sigmoid", "Tanh", "Tanh"],
  hasCellState: true,
  backward: (g, run) => {
    const { hidden, firstCell, dLastCell } = run;
    const sums = plus(g, g.add(times(g, run.x, run.w), times(g, run.previous, run.r)), wholeBias(g, run));
    const [open, sumN] = g.split(sums, [3 * hidden, hidden], 2, 2) as [Value, Value];
    const [i, o, f] = g.split(g.sigmoid(open), [hidden, hidden, hidden], 3, 2) as [Value, Value, Value];
    const n = g.tanh(sumN);
    // Of the cell states the operator gives the last alone; they come back by a recurrence of their own.
    const added = g.mul(i, n);
    const start = firstCell ?? g.zerosLike(run.dLast);
    const cells = scan(
      g,
      { state: [start], sequences: [g.know(f, run.h), g.know(added, run.h)], reverse: run.isReverse, name: "cells" },
      (b, { state: [c], elements: [keep, fresh] }) => {
        const next = b.add(b.mul(c as Value, keep as Value), fresh as Value);
        return { state: [next], scans: [next, b.identity(c as Value)] };
      },
    );
    const [after, before] = cells.scans as [Value, Value];
    const t = g.tanh(after);
    const factors = g.concat(
      [
        g.mul(n, sigmoidSlope(g, i)),
        g.mul(t, sigmoidSlope(g, o)),
        g.mul(before, sigmoidSlope(g, f)),
        g.mul(i, g.sub(1, g.square(n))),
      ],
      2,
    );
    const slope = g.mul(o, g.sub(1, g.square(t)));
    const { carry, scans } = walkBack(
      g,
      run,
      [run.dLast, dLastCell ?? g.zerosLike(run.dLast)],
      [run.dH, slope, factors, f],
      (b, [h, c], [dY, s, factor, keep]) => {
        const dh = b.add(h, dY);
        const dc = b.add(c, b.mul(dh, s));
        const gates = b.mul(b.concat([dc, dh, dc, dc], 1), factor);
        return { carry: [b.matmul(gates, run.r), b.mul(dc, keep)], scans: [gates] };
      },
    );
    const [dGates] = scans;
    const [dFirst, dFirstCell] = carry;
    return { dGates, dRecurrent: dGates, dR: productOverSteps(g, dGates, run.previous), dFirst, dFirstCell };
  },
};

/** The cells by operator. */
export const cells = { RNN: rnn, GRU: gru, LSTM: lstm } as const;

const sigmoidSlope = (g: GraphBuilder, y: Value): Value => g.mul(y, g.sub(1, y));

/** a b^T for each step. */
const times = (g: GraphBuilder, a: Value, b: Value): Value => g.matmul(a, g.transpose(b, [1, 0]));

/** Sums a^T b over time and batch, in one product: [time, batch, m] and [time, batch, n] give [m, n]. */
export const productOverSteps = (g: GraphBuilder, a: Value, b: Value): Value =>
  g.gemm(g.flatten(a, 2), g.flatten(b, 2), null, { transA: 1 });

const plus = (g: GraphBuilder, sums: Value, bias: Value | undefined): Value => (bias ? g.add(sums, bias) : sums);

/** Both biases as one, where they are only ever added together. */
const wholeBias = (g: GraphBuilder, { bias }: CellRun): Value | undefined => bias && g.add(bias.w, bias.r);

function thirds(g: GraphBuilder, { hidden }: CellRun, gates: Value): [Value, Value, Value] {
  return g.split(gates, [hidden, hidden, hidden], 3, 2) as [Value, Value, Value];
}

/** As many values as a list has. */
type Alike<T extends readonly Value[]> = { readonly [K in keyof T]: Value };

/** Walks the steps against the direction of the recurrence, from the last one that it took. */
function walkBack<S extends readonly Value[], Q extends readonly Value[], R extends readonly Value[]>(
  g: GraphBuilder,
  run: CellRun,
  state: readonly [...S],
  sequences: readonly [...Q],
  step: (b: GraphBuilder, carry: Alike<S>, elements: Alike<Q>) => { carry: Alike<S>; scans: readonly [...R] },
): { carry: Alike<S>; scans: Alike<R> } {
  const reverse = !run.isReverse;
  const results = scan(g, { state, sequences, reverse, name: "back" }, (b, { state, elements }) => {
    const { carry, scans } = step(b, state as Alike<S>, elements as Alike<Q>);
    return { state: carry as readonly Value[], scans: scans as readonly Value[] };
  });
  return { carry: results.state as unknown as Alike<S>, scans: results.scans as unknown as Alike<R> };
}

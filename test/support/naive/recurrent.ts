/** Recurrent layers in plain float64, one direction forward, as the ONNX operators define them. For tests alone. */

export type Matrix = readonly (readonly number[])[];

export type RecurrentOperands = {
  /** [time][batch][inputs] */
  readonly x: readonly Matrix[];
  /** [gates * hidden][inputs], [gates * hidden][hidden], [2 * gates * hidden] */
  readonly w: Matrix;
  readonly r: Matrix;
  readonly b: readonly number[];
  /** [batch][hidden] */
  readonly h: Matrix;
  readonly c: Matrix;
};

type State = { readonly h: number[]; readonly c: number[] };
type Sums = { readonly x: number[]; readonly h: number[] };

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
const dot = (row: readonly number[], v: readonly number[]): number =>
  row.reduce((sum, value, i) => sum + value * (v[i] ?? 0), 0);

/** One step of one sequence: `n` is the hidden size, `at(k, i)` the sums of gate k, unit i. */
type Step = (sums: Sums, old: State, operands: RecurrentOperands, n: number) => State;

const rnn: Step = ({ x, h }, old) => ({ h: x.map((v, i) => Math.tanh(v + (h[i] ?? 0))), c: old.c });

const lstm: Step = ({ x, h }, old, _operands, n) => {
  const sum = (gate: number, i: number): number => (x[gate * n + i] ?? 0) + (h[gate * n + i] ?? 0);
  const c = old.c.map((v, i) => sigmoid(sum(2, i)) * v + sigmoid(sum(0, i)) * Math.tanh(sum(3, i)));
  return { c, h: c.map((v, i) => sigmoid(sum(1, i)) * Math.tanh(v)) };
};

const gruResetLast: Step = ({ x, h }, old, _operands, n) => {
  const part = (side: number[], gate: number, i: number): number => side[gate * n + i] ?? 0;
  const next = old.h.map((v, i) => {
    const z = sigmoid(part(x, 0, i) + part(h, 0, i));
    const reset = sigmoid(part(x, 1, i) + part(h, 1, i));
    return (1 - z) * Math.tanh(part(x, 2, i) + reset * part(h, 2, i)) + z * v;
  });
  return { h: next, c: old.c };
};

const gruResetFirst: Step = ({ x, h }, old, { r, b }, n) => {
  const part = (side: number[], gate: number, i: number): number => side[gate * n + i] ?? 0;
  const reset = old.h.map((v, i) => sigmoid(part(x, 1, i) + part(h, 1, i)) * v);
  const next = old.h.map((v, i) => {
    const z = sigmoid(part(x, 0, i) + part(h, 0, i));
    const inner = part(x, 2, i) + dot(r[2 * n + i] ?? [], reset) + (b[5 * n + i] ?? 0);
    return (1 - z) * Math.tanh(inner) + z * v;
  });
  return { h: next, c: old.c };
};

export const naiveCells = { RNN: rnn, LSTM: lstm, GRU: gruResetFirst, "GRU reset last": gruResetLast } as const;

/** @returns hidden states after each step [time][batch][hidden], and the last cell states */
export function runNaive(cell: Step, operands: RecurrentOperands): { h: Matrix[]; c: Matrix } {
  const { x, w, r, b } = operands;
  const n = operands.h[0]?.length ?? 0;
  const gates = w.length;
  let states: State[] = operands.h.map((h, i) => ({ h: [...h], c: [...(operands.c[i] ?? [])] }));
  const all = x.map((rows) => {
    states = rows.map((row, i) => {
      const old = states[i] as State;
      const sums = {
        x: w.map((weights, k) => dot(weights, row) + (b[k] ?? 0)),
        h: r.map((weights, k) => dot(weights, old.h) + (b[gates + k] ?? 0)),
      };
      return cell(sums, old, operands, n);
    });
    return states.map(({ h }) => h);
  });
  return { h: all, c: states.map(({ c }) => c) };
}

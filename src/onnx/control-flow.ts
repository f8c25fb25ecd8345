import type { GraphBuilder, Operand, Value } from "./graph-builder.ts";
import type { Shape } from "./value-info.ts";

export type LoopOptions = {
  /** Number of rounds, int64 scalar; null: until `condition` is false. */
  readonly trips: Operand;
  /** Whether to start, and (with the body's `condition`) to go on; null: always. */
  readonly condition?: Operand;
  /** Values carried from round to round. Their shape must stay the same; forget it with `know` where it does not. */
  readonly state: readonly Value[];
  readonly name?: string;
};

export type LoopRound = { readonly iteration: Value; readonly state: readonly Value[] };

export type LoopBody = {
  /** What is carried to the next round, in the order of `state`. */
  readonly state: readonly Value[];
  /** What each round adds to a result, stacked along a new first axis. */
  readonly scans?: readonly Value[];
  readonly condition?: Value;
};

export type Results = { readonly state: Value[]; readonly scans: Value[] };

/** Writes an ONNX Loop. The body may use the values of the graph around it. */
export function loop(
  g: GraphBuilder,
  { trips, condition = null, state, name = "loop" }: LoopOptions,
  write: (body: GraphBuilder, round: LoopRound) => LoopBody,
): Results {
  let scanned: readonly Value[] = [];
  const body = g.subgraph(g.unusedName(`${name}_body`), (b) => {
    const iteration = b.input(b.unusedName("iteration"), "int64", []);
    const goOn = b.input(b.unusedName("condition"), "bool", []);
    const result = write(b, { iteration, state: state.map((value) => carried(b, value, value.shape)) });
    scanned = result.scans ?? [];
    b.yields(result.condition ?? goOn);
    for (const value of [...result.state, ...scanned]) b.yields(value);
  });
  return emit(g, "Loop", [trips, condition, ...state], { body }, state, scanned, name);
}

export type ScanOptions = {
  readonly state: readonly Value[];
  /** Values that are walked along their first axis, one element a step. */
  readonly sequences: readonly Value[];
  /** Walk from the end, and write results from the end, so that results lie as the sequences do. */
  readonly reverse?: boolean;
  readonly name?: string;
};

export type ScanStep = { readonly state: readonly Value[]; readonly elements: readonly Value[] };

/** Writes an ONNX Scan: a recurrence over the first axis of its sequences. State keeps its shape. */
export function scan(
  g: GraphBuilder,
  { state, sequences, reverse = false, name = "scan" }: ScanOptions,
  write: (body: GraphBuilder, step: ScanStep) => { state: readonly Value[]; scans: readonly Value[] },
): Results {
  let scanned: readonly Value[] = [];
  const body = g.subgraph(g.unusedName(`${name}_body`), (b) => {
    const result = write(b, {
      state: state.map((value) => carried(b, value, value.shape)),
      elements: sequences.map((value) => carried(b, value, value.shape?.slice(1))),
    });
    scanned = result.scans;
    for (const value of [...result.state, ...scanned]) b.yields(value);
  });
  const directions = (count: number): number[] | undefined => (reverse ? Array(count).fill(1) : undefined);
  const attributes = {
    body,
    num_scan_inputs: sequences.length,
    scan_input_directions: directions(sequences.length),
    scan_output_directions: directions(scanned.length),
  };
  return emit(g, "Scan", [...state, ...sequences], attributes, state, scanned, name);
}

/** Writes an ONNX If: both branches give the same number of values. */
export function branch(
  g: GraphBuilder,
  condition: Operand,
  yes: (body: GraphBuilder) => readonly Value[],
  no: (body: GraphBuilder) => readonly Value[],
  name = "if",
): Value[] {
  let given: readonly Value[] = [];
  const arm = (label: string, write: (body: GraphBuilder) => readonly Value[]) =>
    g.subgraph(g.unusedName(`${name}_${label}`), (b) => {
      given = write(b);
      for (const value of given) b.yields(value);
    });
  const attributes = { then_branch: arm("then", yes), else_branch: arm("else", no) };
  const outputs = g.ops("If", given.length, [condition], attributes, { name });
  return outputs.map((output, index) => g.know(output, { type: given[index]?.type }));
}

function carried(body: GraphBuilder, value: Value, shape: Shape | undefined): Value {
  const type = value.type ?? "float32";
  return body.input(body.unusedName(`${value.name}_in`), type, shape);
}

function emit(
  g: GraphBuilder,
  opType: "Loop" | "Scan",
  inputs: readonly Operand[],
  attributes: Parameters<GraphBuilder["ops"]>[3],
  state: readonly Value[],
  scanned: readonly Value[],
  name: string,
): Results {
  const wanted = [...state.map((value) => `${value.name}_out`), ...scanned.map((value) => `${value.name}_all`)];
  const outputs = g.ops(opType, wanted, inputs, attributes, { name });
  return {
    state: outputs.slice(0, state.length).map((output, index) => g.know(output, state[index] ?? {})),
    scans: outputs.slice(state.length).map((output, index) => {
      const { type, shape } = scanned[index] ?? {};
      return g.know(output, { type, shape: shape && [null, ...shape] });
    }),
  };
}

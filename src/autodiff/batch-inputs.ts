import { TidegateError } from "../base/errors.ts";
import { tensor } from "../base/tensor.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import type { Objective } from "./objective.ts";
import type { Rows, TrainingSpec } from "./training-spec.ts";

/** @throws TidegateError BUG when there is no value of this name */
export function need(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name);
  if (!value) throw new TidegateError("BUG", { detail: `the objective has no ${name}` });
  return value;
}

/** Declares the tensors of rows that a specification reads, by name. */
export function dataInputs(g: GraphBuilder, { inputs, target }: TrainingSpec): Map<string, Value> {
  const data = new Map<string, Value>();
  for (const rows of [...Object.values(inputs), ...("value" in target ? [] : [target])])
    if (!data.has(rows.data)) data.set(rows.data, g.input(rows.data, rows.type, ["rows", ...rows.dims]));
  return data;
}

/**
 * What the objective takes for one batch: its rows, and what is the same for every example.
 * @param first  int64 [batch]: number of the first row of each example
 */
export function batchInputs(
  g: GraphBuilder,
  { inputs, constants = {}, target }: TrainingSpec,
  objective: Objective,
  data: ReadonlyMap<string, Value>,
  first: Value,
): (readonly [string, Value])[] {
  const read = (name: string, rows: Rows) => [name, readRows(g, rows, data, first, objective, name)] as const;
  const repeated = Object.entries(constants).map(([name, numbers]) => {
    const shape = objective.known.get(name)?.shape?.map(Number) ?? [];
    const row = g.constant(tensor("float32", [1, ...shape.slice(1)], Float32Array.from(numbers)));
    return [name, g.know(g.expand(row, shape), { type: "float32", shape })] as const;
  });
  const wanted = objective.target === undefined || "value" in target ? [] : [read(objective.target, target)];
  return [...Object.entries(inputs).map(([name, rows]) => read(name, rows)), ...wanted, ...repeated];
}

/** [batch, (span), …dims], in the type that the objective takes. */
function readRows(
  g: GraphBuilder,
  { data: name, span, offset = 0 }: Rows,
  data: ReadonlyMap<string, Value>,
  first: Value,
  { known }: Objective,
  input: string,
): Value {
  const all = need(data, name);
  const from = offset === 0 ? first : g.add(first, offset);
  const ahead = (length: number) =>
    tensor(
      "int64",
      [length],
      BigInt64Array.from({ length }, (_, index) => BigInt(index)),
    );
  const read = g.gather(all, span === undefined ? from : g.add(g.unsqueeze(from, [1]), ahead(span)));
  const { type, shape } = known.get(input) ?? {};
  return g.know(type === undefined || type === all.type ? read : g.cast(read, type), { type, shape });
}

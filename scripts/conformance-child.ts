import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { reasonOf } from "../src/base/errors.ts";
import type { Tensor } from "../src/base/tensor.ts";
import { loadSession } from "../src/drivers/onnxruntime.ts";
import { nodesIn } from "../src/onnx/graph-walk.ts";
import { lift } from "../src/onnx/lift.ts";
import { decodeModel, encodeModel } from "../src/onnx/model-file.ts";
import { TensorProtoSchema } from "../src/onnx/onnx_pb.ts";
import { tensorOf } from "../src/onnx/tensor-proto.ts";
import { checkGradient, type GradientReport } from "./conformance-gradient.ts";

/** What became of one model. A text says why not. */
export type ModelReport = {
  readonly model: string;
  /** Whether onnxruntime itself runs it. */
  readonly runs: true | string;
  readonly readWrite?: true | string;
  /** "within rounding": values differ by at most 1e-6 of the largest, because onnxruntime has another kernel there. */
  readonly lifted?: true | "within rounding" | string;
} & GradientReport;

type Results = Record<string, Tensor>;

/** Checks one folder of the test data: `model.onnx` and `test_data_set_0/input_*.pb`. */
async function check(folder: string): Promise<ModelReport> {
  const bytes = readFileSync(join(folder, "model.onnx"));
  let feeds: Tensor[];
  let expected: Results;
  let steady: boolean;
  try {
    feeds = inputsOf(join(folder, "test_data_set_0"));
    expected = await run(bytes, feeds);
    // Operators that draw random numbers differ from run to run: of those only the shapes can be compared.
    steady = difference(expected, await run(bytes, feeds), true) === "";
  } catch (fault) {
    return { model: folder, runs: reasonOf(fault) };
  }
  const compare = async (make: () => Uint8Array): Promise<true | string> => {
    try {
      return difference(expected, await run(make(), feeds), steady) || true;
    } catch (fault) {
      return reasonOf(fault);
    }
  };
  return {
    model: folder,
    runs: true,
    readWrite: await compare(() => encodeModel(decodeModel(bytes))),
    lifted: await compare(() => encodeModel(lift(decodeModel(bytes)))),
    // A draw of random numbers has no slope that differences could show.
    ...(steady && !draws(bytes) ? await gradientReport(bytes, feeds) : {}),
  };
}

const draws = (bytes: Uint8Array): boolean => {
  const { graph } = decodeModel(bytes);
  return (
    graph !== undefined && [...nodesIn(graph)].some(({ opType }) => /^(Random|Bernoulli|Multinomial)/.test(opType))
  );
};

async function gradientReport(bytes: Uint8Array, feeds: readonly Tensor[]): Promise<GradientReport> {
  try {
    const model = lift(decodeModel(bytes));
    const stored = new Set(model.graph?.initializer.map(({ name }) => name));
    const inputs = (model.graph?.input ?? []).filter(({ name }) => !stored.has(name));
    const named = inputs.flatMap(({ name }, index) => (feeds[index] ? [[name, feeds[index]] as const] : []));
    return await checkGradient(model, Object.fromEntries(named));
  } catch (fault) {
    return { gradient: reasonOf(fault) };
  }
}

function inputsOf(folder: string): Tensor[] {
  const files = readdirSync(folder).filter((name) => name.startsWith("input_"));
  return files.map((_, index) =>
    tensorOf(fromBinary(TensorProtoSchema, readFileSync(join(folder, `input_${index}.pb`)))),
  );
}

async function run(bytes: Uint8Array, feeds: readonly Tensor[]): Promise<Results> {
  const session = await loadSession(bytes, { logSeverity: 4 });
  try {
    const named = feeds.flatMap((feed, index): [string, Tensor][] => {
      const name = session.inputs[index]?.name;
      return name === undefined ? [] : [[name, feed]];
    });
    return await session.run(Object.fromEntries(named));
  } finally {
    await session.release();
  }
}

/** "" when all results are equal to the bit. */
function difference(expected: Results, actual: Results, values: boolean): string {
  for (const [name, wanted] of Object.entries(expected)) {
    const got = actual[name];
    if (!got || got.type !== wanted.type || String(got.dims) !== String(wanted.dims))
      return `${name}: another shape or type`;
    if (!values || isSame(wanted, got)) continue;
    const error = relativeError(wanted, got);
    return error <= 1e-6 ? "within rounding" : `${name}: other values, error ${error}`;
  }
  return "";
}

function isSame(a: Tensor, b: Tensor): boolean {
  if (a.type === "string" || b.type === "string") return JSON.stringify(a.data) === JSON.stringify(b.data);
  const bytes = ({ data }: typeof a): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes(a as typeof a).equals(bytes(b as typeof a));
}

/** Largest difference, relative to the largest value. */
function relativeError(a: Tensor, b: Tensor): number {
  const numbers = ({ data }: Tensor): number[] => Array.from<unknown, number>(data, Number);
  const others = numbers(b);
  let error = 0;
  let largest = 0;
  for (const [index, value] of numbers(a).entries()) {
    const off = Object.is(value, others[index]) ? 0 : Math.abs(value - (others[index] ?? Number.NaN));
    if (!(off <= error)) error = off;
    if (Math.abs(value) > largest) largest = Math.abs(value);
  }
  return error / largest;
}

process.on("message", (folder: string) => {
  void check(folder).then(
    (report) => process.send?.(report),
    (fault) => process.send?.({ model: folder, runs: true, readWrite: reasonOf(fault) }),
  );
});

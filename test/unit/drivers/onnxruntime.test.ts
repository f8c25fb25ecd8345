import { expect, test } from "vitest";
import { type Tensor, type TensorType, tensor } from "../../../src/base/tensor.ts";
import { loadSession } from "../../../src/drivers/onnxruntime.ts";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { encodeModel } from "../../../src/onnx/model-file.ts";

function doubling(): Uint8Array {
  const g = new GraphBuilder();
  g.output("y", g.add(g.input("x", "float32", ["batch", 2]), g.value("x")));
  return encodeModel(g.model);
}

const samples: { [T in TensorType]: Tensor<T> } = {
  float32: tensor("float32", [2], Float32Array.of(1.5, -2)),
  float64: tensor("float64", [2], Float64Array.of(1.5, -2)),
  float16: tensor("float16", [2], Uint16Array.of(0x3e00, 0xc000)),
  int8: tensor("int8", [2], Int8Array.of(1, -2)),
  int16: tensor("int16", [2], Int16Array.of(1, -2)),
  int32: tensor("int32", [2], Int32Array.of(1, -2)),
  int64: tensor("int64", [2], BigInt64Array.of(1n, -(2n ** 60n))),
  uint8: tensor("uint8", [2], Uint8Array.of(1, 255)),
  uint16: tensor("uint16", [2], Uint16Array.of(1, 65535)),
  uint32: tensor("uint32", [2], Uint32Array.of(1, 2 ** 32 - 1)),
  uint64: tensor("uint64", [2], BigUint64Array.of(1n, 2n ** 63n)),
  bool: tensor("bool", [2], Uint8Array.of(1, 0)),
  string: tensor("string", [2], ["tide", "gäte"]),
};

test.each(Object.values(samples))("a $type tensor goes through a model and comes back the same", async (value) => {
  const g = new GraphBuilder();
  g.output("y", g.input("x", value.type, [2]));
  const session = await loadSession(encodeModel(g.model));
  expect(await session.run({ x: value })).toEqual({ y: value });
  await session.release();
});

test("a session tells names, types and shapes of its inputs and outputs", async () => {
  const session = await loadSession(doubling());
  expect(session.inputs).toEqual([{ name: "x", type: "float32", shape: ["batch", 2] }]);
  expect(session.outputs).toEqual([{ name: "y", type: "float32", shape: ["batch", 2] }]);
  await session.release();
});

test("results can be written into tensors that already exist", async () => {
  const session = await loadSession(doubling());
  const y = tensor("float32", [1, 2], new Float32Array(2));
  await session.runInto({ x: tensor("float32", [1, 2], Float32Array.of(3, 4)) }, { y });
  expect([...y.data]).toEqual([6, 8]);
  await session.release();
});

test("a wrong shape, a missing input and an unknown output are failures of the run, not of the process", async () => {
  const session = await loadSession(doubling(), { logSeverity: 4 });
  const x = tensor("float32", [1, 2], Float32Array.of(3, 4));
  await expect(session.run({ x: tensor("float32", [1, 3], new Float32Array(3)) })).rejects.toMatchObject({
    code: "MODEL_RUN_FAILED",
  });
  await expect(session.run({})).rejects.toMatchObject({ code: "MODEL_RUN_FAILED" });
  await expect(session.run({ x }, ["z"])).rejects.toMatchObject({ code: "MODEL_RUN_FAILED" });
  await session.release();
});

test("bytes that are no model are refused", async () => {
  const bytes = doubling();
  for (const bad of [bytes.subarray(0, bytes.length - 9), Uint8Array.of(1, 2, 3)]) {
    await expect(loadSession(bad, { logSeverity: 4 })).rejects.toMatchObject({ code: "MODEL_UNREADABLE" });
  }
});

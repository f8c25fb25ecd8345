import type { Tensor } from "../../src/base/tensor.ts";
import { loadSession, type Session } from "../../src/drivers/onnxruntime.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import type { ModelProto } from "../../src/onnx/onnx_pb.ts";

/** Runs a model once in onnxruntime. */
export async function runModel(model: ModelProto, feeds: Record<string, Tensor> = {}): Promise<Record<string, Tensor>> {
  const session = await loadSession(encodeModel(model), { logSeverity: 4 });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** A `RunModel` that keeps one session for each model's bytes. */
export function sessionPerModel(): (
  model: Uint8Array,
  feeds: Readonly<Record<string, Tensor>>,
) => Promise<Record<string, Tensor>> {
  const sessions = new WeakMap<Uint8Array, Promise<Session>>();
  return async (bytes, feeds) => {
    const session = sessions.get(bytes) ?? loadSession(bytes, { logSeverity: 4 });
    sessions.set(bytes, session);
    return (await session).run(feeds);
  };
}

/** A float32 tensor from plain numbers. */
export const floats = (dims: readonly number[], values: readonly number[]): Tensor<"float32"> => ({
  type: "float32",
  dims,
  data: Float32Array.from(values),
});

/** Numbers 0.1, -0.2, 0.3, … of a shape. */
export const ramp = (...dims: number[]): Tensor<"float32"> =>
  floats(
    dims,
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => ((i % 2 === 0 ? 1 : -1) * (i + 1)) / 10),
  );

/** The numbers of a tensor. */
export const numbers = (tensor: Tensor | undefined): number[] =>
  Array.from<unknown, number>(tensor?.data ?? [], Number);

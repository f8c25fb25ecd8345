import { hash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { sizeOf } from "../base/tensor.ts";
import type { Bundle } from "../inference/bundle.ts";
import { readModel } from "../onnx/model-file.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { dimsOf, protoOf, tensorOf } from "../onnx/tensor-proto.ts";
import type { ModelVersion } from "./coordinator-store.ts";

/** Names of the tensors that the fleet averages, in the card's order. */
const averagedOf = ({ card }: Pick<Bundle, "card">): string[] =>
  Object.entries(card.trainable).flatMap(([name, part]) => (part === "averaged" ? [name] : []));

/** The identity of a base: SHA-256 of its vector's bytes, hex. */
export const weightsHash = (weights: Uint8Array): string => hash("sha256", weights, "hex");

/** A vector as bytes, float32 little endian (as this machine's own). */
export const bytesOfVector = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer.slice(vector.byteOffset, vector.byteOffset + vector.byteLength));

export const vectorOfBytes = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);

/**
 * The averaged weights of a bundle side by side.
 * @throws TidegateError MODEL_UNTRAINABLE when the card averages nothing, or tensors that are not float32
 */
export async function weightsOfBundle(bundle: Bundle): Promise<Float32Array> {
  const model = await readModel(bundle.modelFile);
  const names = averagedOf(bundle);
  if (names.length === 0) throw untrainable("averaged", "the card says of no tensor that it is averaged");
  const parts = names.map((name) => {
    const { type, data } = tensorOf(storedIn(model, name));
    if (type !== "float32") throw untrainable(name, `it is ${type}: a fleet averages float32 tensors`);
    return data as Float32Array;
  });
  const vector = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    vector.set(part, at);
    at += part.length;
  }
  return vector;
}

/** The model of a version: the bundle's graph with its weights, and with the normalisation that the fleet measured. */
export async function modelOfVersion(bundle: Bundle, { weights, tensors }: ModelVersion): Promise<ModelProto> {
  const model = await readModel(bundle.modelFile);
  const vector = vectorOfBytes(weights);
  let at = 0;
  for (const name of averagedOf(bundle)) {
    const size = sizeOf(dimsOf(storedIn(model, name)));
    setTensor(model, name, vector.slice(at, at + size));
    at += size;
  }
  for (const [name, values] of Object.entries(tensors)) setTensor(model, name, Float32Array.from(values));
  return model;
}

function setTensor(model: ModelProto, name: string, data: Float32Array): void {
  const proto = storedIn(model, name);
  // What stood in a typed field goes: the raw bytes are the tensor now.
  const written = protoOf({ type: "float32", dims: dimsOf(proto), data }, name);
  Object.assign(proto, { ...written, floatData: [], doubleData: [], int32Data: [] });
}

/** How many numbers a stored tensor has. @throws TidegateError MODEL_UNTRAINABLE */
export async function sizeOfTensor(bundle: Bundle, name: string): Promise<number> {
  return sizeOf(dimsOf(storedIn(await readModel(bundle.modelFile), name)));
}

function storedIn(model: ModelProto, name: string) {
  const proto = model.graph?.initializer.find((each) => each.name === name);
  if (!proto) throw untrainable(name, "there is none");
  return proto;
}

const untrainable = (name: string, reason: string) =>
  new TidegateError("MODEL_UNTRAINABLE", {
    node: JSON.stringify(name),
    op: "stored tensor",
    reason,
    remedy: "Name under `trainable` in the card what the fleet averages.",
  });

import { createHash } from "node:crypto";
import type { Tensor } from "../base/tensor.ts";
import type { DataManifest, DataSet } from "./data-set.ts";

/** A data set before its manifest. */
export type RawDataSet = Omit<DataSet, "manifest">;

/** Writes down what a data set was made from. @param readings  how many readings, records or files were looked at */
export function withManifest(
  set: RawDataSet,
  from: string,
  readings: number,
  streams: DataManifest["streams"],
): DataSet {
  const manifest = { from, readings, examples: set.first.length, hash: hashOf(set), streams };
  return { ...set, manifest };
}

/** SHA-256 over tensors and examples, hex: equal hashes are equal data. */
function hashOf({ data, inputs, target, first, weights, source, ts, marked, fixedTest }: RawDataSet): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([inputs, target ?? null]));
  for (const name of Object.keys(data).sort()) {
    const { type, dims } = data[name] as Tensor;
    hash.update(JSON.stringify([name, type, dims]));
    hash.update(bytesOf(data[name] as Tensor));
  }
  for (const array of [first, weights, source, ts, marked, fixedTest ?? new Int32Array()])
    hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return hash.digest("hex");
}

/** The memory of a tensor, in place. */
export function bytesOf({ type, data }: Tensor): Uint8Array {
  if (type === "string") return new TextEncoder().encode(JSON.stringify(data));
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

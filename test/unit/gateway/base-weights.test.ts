import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { blobHash } from "../../../src/control/blob-hash.ts";
import { encodeDifference } from "../../../src/control/model-difference.ts";
import { BaseWeights } from "../../../src/gateway/base-weights.ts";
import { openBundle } from "../../../src/inference/bundle.ts";
import { decodeModel } from "../../../src/onnx/model-file.ts";
import { AveragedWeights, hashOfWeights } from "../../../src/train/averaged-weights.ts";

/** Tries once to bring a base of the model here. @returns chunks that were asked for, and whether it is here */
async function brought(weights: Float32Array, bytes?: number) {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-bases-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const packed = encodeDifference(new Uint8Array(), new Uint8Array(weights.buffer));
  const ended = new AbortController();
  setTimeout(() => ended.abort(), 1_000).unref();
  let asked = 0;
  const chunk = async (_: string, n: number) => {
    asked++;
    return packed.subarray(n * 65_536, (n + 1) * 65_536);
  };
  const log = { ...silentLog, info: () => ended.abort() };
  const bases = new BaseWeights({ folders: [resolve("models")], dir, chunks: () => ({ chunk }), log });
  const source = { from: null, sha256: blobHash(packed), bytes: bytes ?? packed.length, kind: "planes" } as const;
  const base = { version: 2, hash: hashOfWeights(weights), length: weights.length, tensors: {} };
  const isHere = await bases.obtain("mote-anomaly", { ...base, sources: [source] }, ended.signal);
  return { asked, isHere };
}

async function lengthHere(): Promise<number> {
  const { modelFile, name, card } = await openBundle("models/mote-anomaly");
  return new AveragedWeights(decodeModel(readFileSync(modelFile), name), card).length;
}

it("a base is fetched as the round says", async () => {
  const weights = Float32Array.from({ length: await lengthHere() }, (_, at) => at);
  expect(await brought(weights)).toEqual({ asked: 1, isHere: true });
});

it("a base that is no shape of the model is not: a few bytes could fill memory or disk, at every start again", async () => {
  expect(await brought(new Float32Array(2 ** 20))).toEqual({ asked: 0, isHere: false });
  const weights = new Float32Array(await lengthHere()).fill(1);
  expect(await brought(weights, 2 ** 40)).toEqual({ asked: 0, isHere: false });
});

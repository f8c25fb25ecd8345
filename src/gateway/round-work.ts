import { hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeDurably } from "../base/durable-file.ts";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor } from "../base/tensor.ts";
import { open, seal } from "../crypto/sealing.ts";
import { weightOf } from "../federated/codec-header.ts";
import { carry, leftOver } from "../federated/residual.ts";
import { encodeMoments, type Moments, momentsOf } from "../federated/statistics.ts";
import { decodeBody, encodeBody, isLossy, restoreBody, shorten } from "../federated/update-body.ts";
import { encodeUpdate } from "../federated/update-header.ts";
import { updateSpace } from "../federated/update-space.ts";
import { decodeModel } from "../onnx/model-file.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { AveragedWeights, hashOfWeights, setTensors } from "../train/averaged-weights.ts";
import type { DataSet, Split } from "../train/data-set.ts";
import { valuesOver } from "../train/fit.ts";
import { localChange, meanGradient } from "../train/round-training.ts";
import { splitOf } from "../train/splits.ts";
import type { JobHooks } from "../train/trainer-conversation.ts";
import { trainingHooks } from "../train/training-work.ts";
import type { RoundJob, RoundResult } from "./round-job.ts";

/** The newest readings measure the base; all others train. */
const shares = { train: 0.85, validation: 0.15, calibration: 0, test: 0 };

type Told = {
  readonly body: Uint8Array;
  /** Numbers that the body is about. */
  readonly length: number;
  readonly left: Float32Array | null;
  readonly loss: number | null;
};

/**
 * Makes a round's update of readings, in the trainer's process: what was learned and was held back before, in the round's
 * codec; what that does not tell is written down first.
 *
 * @throws TidegateError BASE_MISSING, CODEC_REFUSED, UPDATE_UNSENDABLE, DATA_TOO_LITTLE, TRAINING_DIVERGED, …
 */
export async function roundWork(job: RoundJob, data: DataSet, hooks: JobHooks): Promise<RoundResult> {
  const { round, names, update, left } = job;
  const split = splitOf(data, job.settings.seed, shares);
  const parts = { train: split.train.length, held: split.validation.length };
  hooks.tell({ event: "data", manifest: data.manifest, parts });
  const model = withBase(job);
  const told =
    round.mode === "statistics" ? await statistics(job, model, data) : await learned(job, model, data, split, hooks);
  if (!told) return null;
  const examples = split.train.length;
  const header = {
    v: 1 as const,
    ...names,
    round: round.round,
    base: round.base.hash,
    mode: round.mode,
    codec: round.codec.codec,
    length: told.length,
    weight: weightOf(examples, round.codec),
    metrics: told.loss === null ? {} : { loss: told.loss },
  };
  const bytes = encodeUpdate({ header, body: told.body });
  if (told.left) await writeDurably(left.file, seal(bytesOf(told.left), left.key));
  await writeDurably(update.file, seal(bytes, update.key));
  return {
    update: hash("sha256", bytes, "hex"),
    bytes: bytes.length,
    examples,
    loss: told.loss,
    isLossy: told.left !== null,
  };
}

/** The model with the round's base in it, and the statistics that the fleet has measured. */
function withBase({ card, model: bytes, base, round }: RoundJob): ModelProto {
  const model = decodeModel(bytes, card.name);
  const shared = new AveragedWeights(model, card);
  if (base) shared.unpack(base, model);
  const weights = shared.pack(model);
  if (weights.length !== round.base.length || hashOfWeights(weights) !== round.base.hash)
    throw new TidegateError("BASE_MISSING", { model: card.name, hash: round.base.hash });
  setTensors(model, round.base.tensors);
  return model;
}

async function learned(
  job: RoundJob,
  model: ModelProto,
  data: DataSet,
  split: Split,
  hooks: JobHooks,
): Promise<Told | null> {
  const { card, settings, threads, round } = job;
  const training = { card, model, data, split, settings, threads };
  const learn = round.mode === "gradients" ? meanGradient : localChange;
  const found = await learn(training, trainingHooks(job, hooks));
  if (!found) return null;
  const { vector: change, loss } = found;
  const space = updateSpace({
    header: round.codec,
    length: change.length,
    base: { hash: round.base.hash, round: round.round },
    ...(round.chosen ? { chosen: round.chosen } : {}),
  });
  if (round.clip !== null) shorten(change, round.clip);
  const carried = carry(change, await readResidual(job, change.length));
  // The coordinator holds updates to the clip: what is beyond it waits with the rest.
  const sent = carried.slice();
  if (round.clip !== null) shorten(sent, round.clip);
  const body = encodeBody(sent, space, Math.random);
  if (!isLossy(space)) return { body, length: change.length, left: null, loss };
  const said = restoreBody(decodeBody(body, space), space);
  return { body, length: change.length, left: leftOver(carried, said), loss };
}

/** A residual that does not open was erased, or is damaged: nothing is carried over then. */
async function readResidual({ residual }: RoundJob, length: number): Promise<Float32Array | null> {
  const sealed = residual && (await readFile(residual.file).catch(() => null));
  const plain = sealed && open(sealed, residual.key);
  if (plain?.length !== 4 * length) return null;
  return new Float32Array(plain.slice().buffer);
}

/** Round 0: counts, sums and sums of squares of values of the graph, or of targets, over all examples. */
async function statistics({ card, round, threads }: RoundJob, model: ModelProto, data: DataSet): Promise<Told> {
  const { values = [], maxCount = 1 } = round.statistics ?? {};
  const all = Int32Array.from(data.first, (_, example) => example);
  const columns = values.map(({ size }) => Array.from({ length: size }, (): number[] => []));
  for (const [index, { of, size }] of values.entries())
    for await (const told of valuesOver(model, card, of, data, all, { threads }))
      gather(columns[index] ?? [], told, size);
  const moments: Moments[] = values.flatMap(({ low, high }, index) =>
    (columns[index] ?? []).map((column) => momentsOf(column, { low, high, maxCount })),
  );
  return { body: encodeMoments(moments), length: moments.length, left: null, loss: null };
}

/** Spreads a value over its last axis: the statistic has one number for each place of it. */
function gather(columns: number[][], value: Tensor, size: number): void {
  if (sizeOf(value.dims) % size !== 0)
    throw new TidegateError("UPDATE_UNSENDABLE", { reason: `a value of the graph has no ${size} places` });
  for (let i = 0; i < value.data.length; i++) columns[i % size]?.push(Number(value.data[i]));
}

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);

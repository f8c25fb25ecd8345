import { hash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { open, seal } from "../../crypto/sealing.ts";
import type { MadeUpdate } from "../../federated/client/model-rounds.ts";
import { lineageOf, type RoundState } from "../../federated/client/round-state.ts";
import { weightOf } from "../../federated/codec-header.ts";
import type { RoundDocument } from "../../federated/round-document.ts";
import { decodeBody, encodeBody, isLossy, restoreBody, shorten } from "../../federated/update-body.ts";
import { encodeUpdate } from "../../federated/update-header.ts";
import { updateSpace } from "../../federated/update-space.ts";
import type { RoundFiles } from "../../gateway/round-files.ts";

/** One round as a simulated gateway has it before it learns. */
export type Lesson = {
  readonly fleet: string;
  readonly gateway: string;
  readonly round: RoundDocument;
  /** The round's base, float32 [length]; not to be changed. */
  readonly base: Float32Array;
  readonly state: RoundState;
  readonly files: RoundFiles;
  /** What a false gateway multiplies its change by; 1: it is honest. */
  readonly factor: number;
  readonly signal: AbortSignal;
};

/** What stands in for a gateway's trainer. Null: the signal ended it. @throws TidegateError: the round is declined */
export type Learner = (lesson: Lesson) => Promise<(MadeUpdate & { readonly loss: number | null }) | null>;

/** What was learned: what is to be added to the base, and how the base did on what this gateway holds. */
export type Change = { readonly change: Float32Array; readonly loss: number | null; readonly examples: number };

/** Tells a change as a gateway does: with what earlier updates held back, in the round's codec, sealed on the disk. */
export function changeLearner(learn: (lesson: Lesson) => Promise<Change>, random = Math.random): Learner {
  return async (lesson) => {
    const { fleet, gateway, round, state, files, factor } = lesson;
    const { change, loss, examples } = await learn(lesson);
    const { base, codec, training, mode, subject: model } = round;
    const space = updateSpace({ header: codec, length: base.length, base: { hash: base.hash, round: round.round } });
    const clip = training?.clip ?? Number.POSITIVE_INFINITY;
    if (factor !== 1) for (let i = 0; i < change.length; i++) change[i] = (change[i] as number) * factor;
    shorten(change, clip);
    const carried = await withHeldBack(change, lesson);
    const sent = carried.slice();
    shorten(sent, clip);
    const body = encodeBody(sent, space, random);
    const header = {
      ...({ v: 1, fleet, gateway, model, mode } as const),
      ...{ round: round.round, base: base.hash, codec: codec.codec, length: base.length },
      weight: weightOf(examples, codec),
      metrics: loss === null ? {} : { loss },
    };
    const bytes = encodeUpdate({ header, body });
    const [update, left] = [await files.place(model), await files.place(model)];
    if (isLossy(space)) {
      const told = restoreBody(decodeBody(body, space), space);
      for (let i = 0; i < carried.length; i++) carried[i] = (carried[i] as number) - (told[i] as number);
      await writeFile(left.file, seal(bytesOf(carried), left.key));
    }
    await writeFile(update.file, seal(bytes, update.key));
    const { version, length } = base;
    return {
      ...{ update: hash("sha256", bytes, "hex"), file: update.name, cursors: state.cursors, loss },
      left: isLossy(space) ? { file: left.name, lineage: lineageOf(round), version, length } : null,
    };
  };
}

async function withHeldBack(change: Float32Array, { state, files, round }: Lesson): Promise<Float32Array> {
  if (!state.residual) return change;
  const { file, key } = await files.find(round.subject, state.residual.file);
  const plain = open(await readFile(file), key);
  if (plain?.length !== 4 * change.length) return change;
  const held = new Float32Array(plain.slice().buffer);
  return change.map((value, i) => value + (held[i] as number));
}

const bytesOf = (vector: Float32Array): Uint8Array =>
  new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);

import { TidegateError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import type { ModelProto } from "../onnx/onnx_pb.ts";
import { AlarmSequence } from "./alarm-sequence.ts";
import type { DataSet } from "./data-set.ts";
import { targetOf, valuesOf } from "./evaluate.ts";
import { exampleLosses } from "./example-loss.ts";
import type { GateEvidence, Paired } from "./gate.ts";
import { episodes } from "./metrics-anomaly.ts";
import { ModelRuns, type RunOptions } from "./model-runs.ts";

/** One version of a model. */
export type Version = { readonly model: ModelProto; readonly card: Card };

/** Examples with known events that no training sees: the same for every version. */
export type ReferenceEvents = { readonly data: DataSet; readonly examples: Int32Array };

/** Blocks of time are as long as so many examples' reach: those within one say nearly the same. */
const blockReaches = 2;

/**
 * Runs both versions over the newest slice, and over the reference events, beside each other.
 *
 * Losses must be of one unit, and each version has a scale of its own. Where the card names one (`loss.scale`), that of
 * the active version is taken for both. A reconstruction without one is measured by what it would cost to rebuild
 * nothing: 1 is a model that gives zeros, whatever its scale.
 *
 * @param examples  the test part of a split: nothing was chosen by it
 * @throws TidegateError DATA_UNUSABLE, MODEL_RUN_FAILED
 */
export async function compareVersions(
  candidate: Version,
  active: Version,
  data: DataSet,
  examples: Int32Array,
  reference?: ReferenceEvents,
  options?: RunOptions,
): Promise<GateEvidence> {
  const newest = await runBoth(candidate, active, data, examples, options);
  const blocks = blocksOf(data, examples);
  const { alarms } = newest;
  const isNormal = (_: unknown, i: number): boolean => !data.marked[examples[i] as number];
  const falseAlarms: Paired | undefined = alarms && {
    candidate: Float64Array.from(alarms.candidate.alarming).filter(isNormal),
    active: Float64Array.from(alarms.active.alarming).filter(isNormal),
    blocks: blocks.filter(isNormal),
  };
  const known = reference && (await runBoth(candidate, active, reference.data, reference.examples, options));
  const events = known?.alarms && {
    candidate: foundEvents(reference?.data, reference?.examples, known.alarms.candidate.alarming),
    active: foundEvents(reference?.data, reference?.examples, known.alarms.active.alarming),
  };
  return { losses: { ...newest.losses, blocks }, falseAlarms, events };
}

async function runBoth(
  candidate: Version,
  active: Version,
  data: DataSet,
  examples: Int32Array,
  options?: RunOptions,
): Promise<{
  losses: { candidate: Float64Array; active: Float64Array };
  alarms: { candidate: AlarmSequence; active: AlarmSequence } | undefined;
}> {
  const { loss } = active.card;
  if (!loss)
    throw new TidegateError("DATA_UNUSABLE", {
      what: `model ${active.card.name}`,
      reason: "its card says no loss, so that versions cannot be compared",
      remedy: "Add `loss` and `target` to the card.",
    });
  const alarms = active.card.verdict && {
    candidate: new AlarmSequence(candidate.card, data),
    active: new AlarmSequence(active.card, data),
  };
  const isRelative = active.card.target?.kind === "input" && loss.scale === undefined;
  const losses = { candidate: new UnitLosses(isRelative), active: new UnitLosses(isRelative) };
  const own = await ModelRuns.open(active.model, active.card, valuesOf(active.card), options);
  const other = await ModelRuns.open(candidate.model, candidate.card, valuesOf(candidate.card), options);
  const take = (card: Card, part: Int32Array, values: Readonly<Record<string, Tensor>>, scale: Tensor | undefined) => {
    const target = targetOf(card, data, part, values);
    const output = values[card.loss?.output ?? ""];
    if (!target || !output) throw new TidegateError("BUG", { detail: "a run gave no output or target" });
    return { loss: card.loss ?? loss, output, target, scale };
  };
  try {
    const others = other.over(data, examples);
    for await (const { examples: part, values } of own.over(data, examples)) {
      const next = await others.next();
      if (next.done || next.value.examples.length !== part.length)
        throw new TidegateError("BUG", { detail: "two versions took batches of different sizes" });
      const scale = loss.scale === undefined ? undefined : values[loss.scale];
      losses.active.add(take(active.card, part, values, scale));
      losses.candidate.add(take(candidate.card, part, next.value.values, scale));
      alarms?.active.add(part, values);
      alarms?.candidate.add(part, next.value.values);
    }
  } finally {
    await own.release();
    await other.release();
  }
  return { losses: { active: losses.active.finish(), candidate: losses.candidate.finish() }, alarms };
}

type Outcome = {
  readonly loss: NonNullable<Card["loss"]>;
  readonly output: Tensor;
  readonly target: Tensor;
  readonly scale: Tensor | undefined;
};

/** Losses of one version, in parts of what zeros would cost when they are relative. */
class UnitLosses {
  readonly #isRelative: boolean;
  readonly #losses: number[] = [];
  #zeros = 0;

  constructor(isRelative: boolean) {
    this.#isRelative = isRelative;
  }

  add({ loss, output, target, scale }: Outcome): void {
    for (const each of exampleLosses(loss, output, target, scale)) this.#losses.push(each);
    if (!this.#isRelative) return;
    const nothing = tensor("float32", output.dims, new Float32Array(output.data.length));
    for (const each of exampleLosses(loss, nothing, target, scale)) this.#zeros += each;
  }

  finish(): Float64Array {
    const unit = this.#isRelative && this.#zeros > 0 ? this.#zeros / this.#losses.length : 1;
    return Float64Array.from(this.#losses, (each) => each / unit);
  }
}

/** Whether each event (a run of marked examples) has an alarming window. */
function foundEvents(
  data: DataSet | undefined,
  examples: Int32Array | undefined,
  alarming: readonly number[],
): boolean[] {
  if (!data || !examples) return [];
  const marked = [...examples].map((example) => data.marked[example] === 1);
  return episodes(marked).map(({ first, last }) => alarming.slice(first, last + 1).includes(1));
}

/** Block of time of each example: neighbours of one source, whose readings are less than a few reaches apart. */
function blocksOf(data: DataSet, examples: Int32Array): Int32Array {
  const length = blockReaches * data.reach;
  const numbers = new Map<string, number>();
  return Int32Array.from(examples, (example) => {
    const key = `${data.source[example]}/${Math.floor((data.place[example] as number) / length)}`;
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
}

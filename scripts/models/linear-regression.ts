import { seededRandom } from "../../src/base/random.ts";
import { tensor } from "../../src/base/tensor.ts";
import { loadSession } from "../../src/drivers/onnxruntime.ts";
import { encodeModel } from "../../src/onnx/model-file.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { templateOptions, templates } from "../../src/train/templates/template-table.ts";
import type { BuildModel } from "./build.ts";
import { examplesOf, range, rowsOf } from "./examples.ts";
import { train } from "./training.ts";

/** The worked example: 100 points of y = 3x + 2 with noise, four fifths to learn from, gradient descent. */
export const linearRegression: BuildModel = async ({ write, tell }) => {
  const random = seededRandom(1);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const points = Array.from({ length: 100 }, () => {
    const x = random() * 10;
    return { x, y: 3 * x + 2 + normal() / 2 };
  });
  const data = examplesOf({
    from: "100 points of y = 3x + 2 + noise, drawn from a seed",
    data: {
      window: rowsOf(
        points.map(({ x }) => [x]),
        [1, 1],
      ),
      y: rowsOf(
        points.map(({ y }) => [y]),
        [1],
      ),
    },
    inputs: { window: { data: "window", type: "float32", dims: [1, 1] } },
    target: { data: "y", type: "float32", dims: [1] },
  });
  const none = new Int32Array();
  const split = { train: range(0, 80), validation: none, calibration: none, test: range(80, 100) };
  const made = templates.linear?.make(
    templateOptions("linear", { name: "linear-regression", fields: ["x"], target: "y" }),
  );
  if (!made) throw new Error("no template linear");
  const trained = await train(made, data, split, tell);
  const trainMetrics = (await evaluate(trained.model, trained.card, data, split.train)).metrics;
  const { metrics } = await evaluate(trained.model, trained.card, data, split.test);
  const session = await loadSession(encodeModel(trained.model));
  const xs = [1, 2, 3, 4, 5];
  const { value } = await session.run({ window: tensor("float32", [5, 1, 1], Float32Array.from(xs)) });
  await session.release();
  const predictions = Array.from(value?.data as Float32Array, (each) => Number(each.toPrecision(5)));
  tell(
    `linear-regression: train loss ${trainMetrics.loss}, test loss ${metrics.loss}, predictions for 1 to 5: ${predictions.join(", ")}`,
  );
  await write(
    trained.model,
    {
      ...made.card,
      description: "The worked example of the guide: gradient descent on 100 points of y = 3x + 2 with noise.",
      metrics: { ...metrics, trainLoss: trainMetrics.loss ?? Number.NaN },
      baselines: { mean: { r2: 0 } },
      data: {
        name: "100 points of a line with noise (deviation 0.5)",
        source: "scripts/models/linear-regression.ts",
        licence: "Apache-2.0",
      },
      licence: "Apache-2.0",
      training: { script: "scripts/models/linear-regression.ts", split: "80 to learn from, 20 to test", predictions },
    },
    xs.map((x) => ({ name: `x = ${x}`, payloads: [JSON.stringify({ x })] })),
  );
};

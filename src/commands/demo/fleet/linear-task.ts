import { TidegateError } from "../../../base/errors.ts";
import { seededRandom } from "../../../base/random.ts";
import type { Card } from "../../../inference/card.ts";
import type { DataSet } from "../../../train/data-set.ts";
import type { FileRecord } from "../../../train/record-reader.ts";
import { tableData } from "../../../train/table-data.ts";
import { templateOptions, templates } from "../../../train/templates/template-table.ts";
import { type LearningTask, writeUntrained } from "./learning-task.ts";

type Point = { readonly x: number; readonly y: number };

const range = 10;
const pointsEach = 200;
const heldBackPoints = 100;
const noise = 0.5;
const seed = 1;

/**
 * The worked example: points of y = 3x + 2 with noise. Each gateway sees another piece of x from 0 to 10, so that none
 * alone knows much of the line.
 */
export async function linearTask(dir: string, gateways: number): Promise<LearningTask> {
  const template = templates.linear?.make(templateOptions("linear", { name: "linear", fields: ["x"], target: "y" }));
  if (!template) throw new TidegateError("BUG", { detail: "there is no template linear" });
  const bundle = await writeUntrained(dir, template);
  const random = seededRandom(seed);
  const width = range / gateways;
  const points = Array.from({ length: gateways }, (_, i) => pointsIn(i * width, (i + 1) * width, pointsEach, random));
  const held = pointsIn(0, range, heldBackPoints, random);
  const parts = await Promise.all(
    points.map(async (own, i) => ({
      id: `gw-${i + 1}`,
      from: `x from ${round(i * width)} to ${round((i + 1) * width)}`,
      data: await dataOf(own, bundle.card),
    })),
  );
  return {
    ...{ title: "y = 3x + 2", bundle, parts, measure: "mean squared error, in squares of y's deviation" },
    pooled: await dataOf(points.flat(), bundle.card),
    heldBack: await dataOf(held, bundle.card),
    training: { epochs: 4, batch: pointsEach, learningRate: 0.1, optimizer: { kind: "sgd" } },
    settings: {
      strategy: "fedavgm",
      normalization: { window: { low: 0, high: range }, target: { low: -10, high: 50 } },
    },
    rounds: 20,
  };
}

const round = (value: number): number => Number(value.toFixed(1));

function pointsIn(low: number, high: number, count: number, random: () => number): Point[] {
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Array.from({ length: count }, () => {
    const x = low + random() * (high - low);
    return { x, y: 3 * x + 2 + noise * normal() };
  });
}

function dataOf(points: readonly Point[], card: Card): Promise<DataSet> {
  async function* records(): AsyncGenerator<FileRecord> {
    for (const [i, values] of points.entries()) yield { values, line: i + 1 };
  }
  return tableData(records(), { card, file: "points", seed });
}

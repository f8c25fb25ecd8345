import type { Verdict } from "../base/result.ts";
import type { Card } from "./card.ts";

/** How one window is judged, before hysteresis. Numbers, since these are kept in columns. */
export const judgements = { none: 0, normal: 1, alarm: 2, unknown: 3 } as const;

/** What a judgement's number means to the outside; null when nothing judges. */
export const judgementNames: readonly Verdict[] = [null, "normal", "alarm", "unknown"];

/** What the outputs of one model mean, by its card. */
export type Judge = {
  /** One of `judgements`. */
  judgement(row: number): number;
  /** Index into `labels`, or -1. */
  label(row: number): number;
  /** NaN when the model gives no score. */
  score(row: number): number;
  readonly labels: readonly string[];
};

type Outputs = Readonly<Record<string, Float32Array>>;

const never = () => -1;
const noScore = () => Number.NaN;

/** Prepares the judgement of a batch: which column holds what is looked up once, not per window. */
export function judgeOf(card: Card, outputs: Outputs, widths: Readonly<Record<string, number>>): Judge {
  const column = (name: string) => ({ values: outputs[name] ?? new Float32Array(), width: widths[name] ?? 1 });
  const labelled =
    card.outputs.find(({ kind }) => kind === "label") ?? card.outputs.find(({ kind }) => kind === "logits");
  const scored = card.outputs.find(({ kind }) => kind === "score");
  const label = labelled ? labelReader(labelled.kind, column(labelled.name)) : never;
  const score = scored ? firstOf(column(scored.name)) : noScore;
  return { judgement: judgementReader(card, column, label), label, score, labels: card.labels };
}

type Column = { readonly values: Float32Array; readonly width: number };

const firstOf =
  ({ values, width }: Column) =>
  (row: number): number =>
    values[row * width] ?? Number.NaN;

/** A label output holds the index itself; of logits the largest wins. Not a number: no label. */
function labelReader(kind: string, { values, width }: Column): (row: number) => number {
  if (kind === "label") {
    return (row) => {
      const index = values[row * width] ?? Number.NaN;
      return Number.isInteger(index) ? index : -1;
    };
  }
  return (row) => {
    let best = -1;
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < width; i++) {
      const value = values[row * width + i] ?? Number.NaN;
      if (value > most) {
        most = value;
        best = i;
      }
    }
    return best;
  };
}

function judgementReader(card: Card, column: (name: string) => Column, label: (row: number) => number) {
  const rule = card.verdict;
  if (!rule) return () => judgements.none;
  if ("above" in rule) {
    const value = firstOf(column(rule.output));
    const { above } = rule;
    return (row: number) => {
      const number = value(row);
      if (Number.isNaN(number)) return judgements.unknown;
      return number > above ? judgements.alarm : judgements.normal;
    };
  }
  const alarming = new Set(rule.labels.map((text) => card.labels.indexOf(text)));
  const output = card.outputs.find(({ name }) => name === rule.output);
  const read = output ? labelReader(output.kind, column(output.name)) : label;
  return (row: number) => {
    const index = read(row);
    if (index < 0) return judgements.unknown;
    return alarming.has(index) ? judgements.alarm : judgements.normal;
  };
}

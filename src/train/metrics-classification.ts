export type ClassScore = {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  /** Examples of this class. */
  readonly support: number;
};

/** Which classes were taken for which. What is divided by 0 is 0. */
export class ConfusionMatrix {
  readonly classes: number;
  /** [expected][given], one row after the other. */
  readonly counts: Float64Array;
  readonly #supports: Float64Array;
  #total = 0;

  constructor(classes: number) {
    this.classes = classes;
    this.counts = new Float64Array(classes * classes);
    this.#supports = new Float64Array(classes);
  }

  /** A class that was given but does not exist (-1: none) counts as wrong, in no column. */
  add(expected: number, given: number): void {
    this.#total++;
    this.#supports[expected] = (this.#supports[expected] as number) + 1;
    if (given < 0 || given >= this.classes) return;
    const at = expected * this.classes + given;
    this.counts[at] = (this.counts[at] as number) + 1;
  }

  get rows(): number[][] {
    return Array.from({ length: this.classes }, (_, row) => [
      ...this.counts.subarray(row * this.classes, (row + 1) * this.classes),
    ]);
  }

  get accuracy(): number {
    let right = 0;
    for (let i = 0; i < this.classes; i++) right += this.counts[i * this.classes + i] as number;
    return ratio(right, this.#total);
  }

  of(label: number): ClassScore {
    const support = this.#supports[label] ?? 0;
    const right = this.counts[label * this.classes + label] ?? 0;
    let given = 0;
    for (let row = 0; row < this.classes; row++) given += this.counts[row * this.classes + label] ?? 0;
    const precision = ratio(right, given);
    const recall = ratio(right, support);
    return { precision, recall, f1: ratio(2 * right, support + given), support };
  }

  /** Mean over the classes that occur, expected or given. */
  get macro(): Omit<ClassScore, "support"> {
    const scores = Array.from({ length: this.classes }, (_, label) => this.of(label)).filter(
      ({ support }, label) => support > 0 || this.rows.some((row) => (row[label] ?? 0) > 0),
    );
    const mean = (pick: (score: ClassScore) => number) =>
      ratio(
        scores.reduce((sum, score) => sum + pick(score), 0),
        scores.length,
      );
    return { precision: mean((s) => s.precision), recall: mean((s) => s.recall), f1: mean((s) => s.f1) };
  }
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);

/**
 * Area under the ROC curve: the probability that a positive example scores above a negative one, ties counted half
 * (Mann and Whitney). NaN when there is but one class.
 */
export function rocAuc(scores: ArrayLike<number>, isPositive: ArrayLike<number | boolean>): number {
  const order = Array.from(scores, (_, index) => index).sort((a, b) => Number(scores[a]) - Number(scores[b]));
  let positives = 0;
  let rankSum = 0;
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to < order.length && scores[order[to] as number] === scores[order[from] as number]) to++;
    // A NaN equals nothing, itself included.
    if (to === from) to++;
    const rank = (from + 1 + to) / 2;
    for (let i = from; i < to; i++) {
      if (!isPositive[order[i] as number]) continue;
      positives++;
      rankSum += rank;
    }
    from = to;
  }
  const negatives = order.length - positives;
  if (positives === 0 || negatives === 0) return Number.NaN;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/** Index of the largest number; the first of several. -1 when none is a number. */
export function argMax(values: ArrayLike<number>, from = 0, length = values.length): number {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i++) {
    const value = Number(values[from + i]);
    if (value > most) {
      most = value;
      best = i;
    }
  }
  return best;
}

/** What a choice by softmax costs: -log of the probability of this label. */
export function crossEntropy(logits: ArrayLike<number>, label: number, from = 0, length = logits.length): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i++) most = Math.max(most, Number(logits[from + i]));
  let sum = 0;
  for (let i = 0; i < length; i++) sum += Math.exp(Number(logits[from + i]) - most);
  return most + Math.log(sum) - Number(logits[from + label]);
}

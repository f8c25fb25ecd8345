import type { Tensor } from "../base/tensor.ts";
import type { Card } from "../inference/card.ts";
import { judgements, judgeOf } from "../inference/judge.ts";
import { VerdictTracker } from "../inference/verdict.ts";
import type { DataSet } from "./data-set.ts";
import { type AlarmScore, scoreAlarms, totalAlarmScore } from "./metrics-anomaly.ts";
import { rocAuc } from "./metrics-classification.ts";

/** Alarms of one source, window by window, beside what is known of them. */
type SourceAlarms = { readonly labels: boolean[]; readonly alarms: boolean[] };

/** The alarms that a gateway would have raised: single windows by the card's verdict, then its hysteresis. */
export class AlarmSequence {
  readonly #card: Card;
  readonly #data: DataSet;
  readonly #tracker: VerdictTracker;
  readonly #offAfter: number;
  readonly #bySource = new Map<number, SourceAlarms>();
  readonly #scores: number[] = [];
  readonly #marks: number[] = [];
  /** Whether each example was judged alarming by itself, before hysteresis, in the order of the calls. */
  readonly alarming: number[] = [];
  #sequence = 0;

  constructor(card: Card, data: DataSet) {
    this.#card = card;
    this.#data = data;
    const { onAfter, offAfter } = card.alarm ?? { onAfter: 1, offAfter: 3 };
    this.#offAfter = offAfter;
    this.#tracker = new VerdictTracker({
      stream: "evaluation",
      alarm: { onAfter, offAfter, silentAfterMs: 0 },
      publish: { when: "all", minIntervalMs: 0 },
      sourceOf: () => ({}),
    });
  }

  /** @param values  what the model gave for these examples: at least its outputs */
  add(examples: Int32Array, values: Readonly<Record<string, Tensor>>): void {
    const n = examples.length;
    const { outputs, widths } = asBatch(this.#card, values, n);
    const judge = judgeOf(this.#card, outputs, widths);
    const sources = Uint32Array.from(examples, (example) => this.#data.source[example] ?? 0);
    const sequences = Float64Array.from(examples, () => this.#sequence++);
    const ts = Float64Array.from(examples, (example) => this.#data.ts[example] ?? 0);
    const { name: model, version } = this.#card;
    const batch = { stream: "evaluation", model, version, n, sources, sequences, ts, arrived: ts, outputs, widths };
    const first = sequences[0] ?? 0;
    this.#tracker.accept({ ...batch, durationMs: 0 }, this.#card, 0, ({ verdict }, sequence) => {
      const example = examples[sequence - first] as number;
      const source = this.#data.source[example] as number;
      const own = this.#bySource.get(source) ?? { labels: [], alarms: [] };
      this.#bySource.set(source, own);
      own.labels.push(this.#data.marked[example] === 1);
      own.alarms.push(verdict === "alarm");
    });
    for (let i = 0; i < n; i++) {
      this.alarming.push(judge.judgement(i) === judgements.alarm ? 1 : 0);
      this.#scores.push(judge.score(i));
      this.#marks.push(this.#data.marked[examples[i] as number] ?? 0);
    }
  }

  /** An event is a run of windows that touch it. `rocAuc`: of single windows' scores. */
  finish(): { readonly score: AlarmScore; readonly rocAuc: number } {
    const each = [...this.#bySource.values()].map(({ labels, alarms }) => scoreAlarms(labels, alarms, this.#offAfter));
    return { score: totalAlarmScore(each), rocAuc: rocAuc(this.#scores, this.#marks) };
  }
}

/** The card's outputs as the gateway has them: float32 columns. */
function asBatch(card: Card, values: Readonly<Record<string, Tensor>>, n: number) {
  const outputs: Record<string, Float32Array> = {};
  const widths: Record<string, number> = {};
  for (const { name } of card.outputs) {
    const { data = [] } = values[name] ?? {};
    outputs[name] = data instanceof Float32Array ? data : Float32Array.from(data as ArrayLike<number>, Number);
    widths[name] = data.length / n;
  }
  return { outputs, widths };
}

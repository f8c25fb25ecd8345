import type { Drift } from "../train/drift.ts";
import { driftLimit } from "../train/drift.ts";
import type { BundleOutcome } from "../train/train-bundle.ts";
import type { TrainingEvent } from "../train/training-job.ts";

/** `installed`: the new version took over. `kept`: it lies in `dir`, and the old one stays. */
export type TrainingReport = {
  readonly model: string;
  /** Streams whose readings it was trained on; of files, what they are called. */
  readonly streams: readonly string[];
  readonly outcome: "installed" | "kept" | "stopped" | "diverged" | "skipped";
  readonly version: number;
  readonly reasons: readonly string[];
  readonly dir?: string;
  readonly result?: Omit<BundleOutcome["result"], "candidate" | "reference">;
  readonly metrics?: Readonly<Record<string, number>>;
  readonly before?: Readonly<Record<string, number>>;
  readonly baselines?: Readonly<Record<string, Readonly<Record<string, number>>>>;
};

type Doing = {
  readonly model: string;
  readonly streams: readonly string[];
  state: string;
  epoch: number;
  readonly epochs: number;
};
type Last = {
  readonly at: number;
  readonly model: string;
  readonly outcome: string;
  readonly reasons: readonly string[];
};

/** Where the daemon shows that training is well, or is not. `Health` fits. */
export type TrainingHealth = { ready(part: string): void; degrade(part: string, reason: string): void };

const part = "training";

/** What is known of the trainings of this life: for `tidegate status`, metrics and health. */
export class TrainingRecord {
  readonly #health: TrainingHealth | undefined;
  /** By model and outcome. */
  readonly #outcomes = new Map<string, { model: string; outcome: string; count: number }>();
  readonly #drift = new Map<string, readonly Drift[]>();
  /** By model: why it cannot be trained. */
  readonly #faults = new Map<string, string>();
  #doing: Doing | undefined;
  #last: Last | undefined;

  constructor(health?: TrainingHealth) {
    this.#health = health;
  }

  get status() {
    return {
      doing: this.#doing ?? null,
      last: this.#last ?? null,
      outcomes: [...this.#outcomes.values()],
      drift: Object.fromEntries(this.#drift),
    };
  }

  begin(model: string, streams: readonly string[], epochs: number): void {
    this.#doing = { model, streams, state: "waiting", epoch: 0, epochs };
  }

  waiting(reason: string): void {
    if (this.#doing) this.#doing.state = `waiting: ${reason}`;
  }

  follow(event: TrainingEvent): void {
    if (!this.#doing) return;
    if (event.event === "progress") Object.assign(this.#doing, { state: "training", epoch: event.epoch });
    else if (event.event === "waiting") this.waiting(event.reason);
  }

  /** @param at  ms UTC */
  end(model: string, outcome: string, reasons: readonly string[], at: number): void {
    this.#doing = undefined;
    const key = `${model}/${outcome}`;
    const entry = this.#outcomes.get(key) ?? { model, outcome, count: 0 };
    entry.count++;
    this.#outcomes.set(key, entry);
    this.#last = { at, model, outcome, reasons };
    const isFault = outcome === "failed" || outcome === "diverged";
    if (isFault) this.#faults.set(model, `${model}: ${outcome}: ${reasons[0] ?? "for no known reason"}`);
    else if (outcome !== "stopped" && outcome !== "skipped") this.#faults.delete(model);
    this.tell();
  }

  /** What was measured of a model's data: the newest counts. */
  drifted(model: string, drift: readonly Drift[]): void {
    this.#drift.set(model, drift);
  }

  /** Tells the daemon's health how training stands. */
  tell(): void {
    const drifts = [...this.#drift].flatMap(([model, columns]) =>
      columns
        .filter(({ psi }) => psi > driftLimit)
        .map(({ name, psi }) => `${model}: ${name} has drifted (index ${psi.toFixed(2)}, limit ${driftLimit})`),
    );
    const notes = [...this.#faults.values(), ...drifts];
    if (notes.length === 0) this.#health?.ready(part);
    else this.#health?.degrade(part, notes.join("; "));
  }
}

import type { TidegateError } from "../base/errors.ts";
import type { Frame, Source } from "../base/frame.ts";
import type { Card } from "../inference/card.ts";
import type { Baselines } from "./baselines.ts";
import type { Calibration } from "./calibrate.ts";
import type { Standing } from "./circumstances.ts";
import type { ReferenceEvents } from "./compare.ts";
import type { DataManifest } from "./data-set.ts";
import type { Drift, DriftReference } from "./drift.ts";
import type { Evaluation } from "./evaluate.ts";
import type { GateDecision, GateRule } from "./gate.ts";
import type { GateLimits } from "./gates.ts";
import type { ReplaySettings } from "./kept-examples.ts";
import type { TrainingSettings } from "./schedule.ts";
import type { Shares } from "./splits.ts";
import type { StreamData } from "./streams-data.ts";
import type { TrainingOutcome, TrainingProgress } from "./trainer.ts";
import type { EpochFigures } from "./trainer-state.ts";

/** What a trainer process is asked to do. A plain object: it crosses the border of processes. */
export type TrainingJob = {
  readonly card: Card;
  /** model.onnx, as it is in use. */
  readonly model: Uint8Array;
  /** model.onnx of the version that shipped, which an anchor holds the weights to. Default: `model`. */
  readonly shipped?: Uint8Array;
  readonly settings: TrainingSettings;
  /** How the readings of each stream become examples, when readings follow; absent: a data set follows. */
  readonly data?: readonly StreamData[];
  /** Examples of old that are trained on too, and from which those of the next training are chosen. */
  readonly replay?: ReplayOrder;
  /** What the version in use was trained on, to be measured against. */
  readonly drift?: DriftReference;
  /** Parts of the split. Default: by time, else by content, 60 to 10 to 15 to 15. */
  readonly shares?: Shares;
  /** Known events that no training sees: what candidate and version in use are tried on beside the newest slice. */
  readonly reference?: ReferenceEvents;
  /** When the candidate is to take over; absent: see `decide`. */
  readonly gate?: Omit<GateRule, "seed">;
  readonly threads: number;
  /** Longest run, ms: whoever needs the processor gets it between two. */
  readonly runMs?: number;
  readonly limits: GateLimits;
  readonly checkpoint?: CheckpointOrder;
  /** Version of Tidegate. */
  readonly version: string;
};

export type CheckpointOrder = {
  readonly file: string;
  /** Seals it; absent: it is written as it is. */
  readonly key?: Uint8Array;
  /** Longest time between two, ms. */
  readonly everyMs: number;
  /**
   * `auto`: go on from one that fits, else begin anew and say why. `require`: refuse one that belongs to something
   * else. `fresh`: begin anew.
   */
  readonly resume: "auto" | "require" | "fresh";
};

export type ReplayOrder = ReplaySettings & {
  readonly file: string;
  /** Seals it; absent: it is written as it is. */
  readonly key?: Uint8Array;
};

/** One slice of a stream's readings. @see Frame */
export type ReadingSlice = { readonly frame: Frame; readonly sources: readonly Source[] };

/** What is told while a job goes on. */
export type TrainingEvent =
  | { readonly event: "data"; readonly manifest: DataManifest; readonly parts: Readonly<Record<string, number>> }
  | ({ readonly event: "resumed"; readonly epoch: number; readonly step: number } & Standing)
  | { readonly event: "anew"; readonly reasons: readonly string[] }
  | ({ readonly event: "progress" } & TrainingProgress)
  | { readonly event: "waiting"; readonly reason: string }
  | { readonly event: "going-on" };

/** A model that was trained, and what it is worth. */
export type Candidate = {
  /** model.onnx with its new statistics, weights and threshold. */
  readonly model: Uint8Array;
  /** Absent when the card asks for none. */
  readonly calibration?: Calibration;
  /** Of the new model, and of the one in use, on the same examples. */
  readonly evaluation: Evaluation;
  readonly active: Evaluation;
  /** What the obvious methods reach there. */
  readonly baselines: Baselines;
  /** Whether it takes over. */
  readonly gate: GateDecision;
};

/** What came of a job. */
export type TrainingResult = {
  readonly ended: TrainingOutcome["ended"];
  readonly best: TrainingOutcome["best"];
  readonly history: readonly EpochFigures[];
  /** Why it ended, when the loss was not finite. */
  readonly fault?: ReturnType<TidegateError["toJSON"]>;
  /** Absent when nothing was learnt, or when it was stopped. */
  readonly candidate?: Candidate;
  readonly manifest: DataManifest;
  /** How far the data have moved from what the version in use was trained on; empty when that is not known. */
  readonly drift: readonly Drift[];
  /** What later data are to be measured against, when the candidate or the version in use goes on. */
  readonly reference: { readonly candidate: DriftReference; readonly active: DriftReference };
  readonly engine: string;
  readonly seconds: number;
};

import type { CodecHeader } from "../federated/codec-header.ts";
import type { RoundDocument } from "../federated/round-document.ts";
import { trainSchema } from "../inference/card.ts";
import type { GateLimits } from "../train/gates.ts";
import type { TrainingSettings } from "../train/schedule.ts";
import type { AnyJob } from "../train/trainer-conversation.ts";
import type { SealedPlace } from "./round-files.ts";

/** What a trainer process is to make of a round. */
export type RoundJob = AnyJob & {
  readonly settings: TrainingSettings;
  /** model.onnx that the base's weights are put into. */
  readonly model: Uint8Array;
  /** float32 [length]; null: those that the model has. */
  readonly base: Float32Array | null;
  readonly round: Pick<RoundDocument, "round" | "mode" | "base" | "statistics"> & {
    readonly codec: CodecHeader;
    /** Longest the change may be. */
    readonly clip: number | null;
    /** The blob of an explicit support. */
    readonly chosen: Uint8Array | null;
  };
  readonly names: { readonly fleet: string; readonly gateway: string; readonly model: string };
  /** What earlier updates did not tell. */
  readonly residual: SealedPlace | null;
  /** Where the update goes, and what it does not tell. */
  readonly update: SealedPlace;
  readonly left: SealedPlace;
  readonly threads: number;
  readonly runMs: number;
  readonly limits: GateLimits;
};

/** What came of it; null: it was stopped. The files are durable. */
export type RoundResult = {
  /** SHA-256 of the update, hex. */
  readonly update: string;
  readonly bytes: number;
  readonly examples: number;
  readonly loss: number | null;
  /** Whether something is held back, in `left`. */
  readonly isLossy: boolean;
} | null;

/** What a job takes from a round's document. */
export function jobOfRound(document: RoundDocument): Pick<RoundJob, "settings" | "round"> {
  const { training, round, mode, base, codec, statistics } = document;
  const { optimizer, learningRate: rate, batch, epochs, mu: anchor, seed } = training ?? {};
  const clip = training?.clip ?? null;
  return {
    settings: trainSchema.parse({ optimizer, rate, batch, epochs, anchor, seed }),
    round: { round, mode, base, codec, clip, chosen: null, ...(statistics ? { statistics } : {}) },
  };
}

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { type Bundle, openBundle } from "../../../inference/bundle.ts";
import { encodeModel } from "../../../onnx/model-file.ts";
import type { DataSet } from "../../../train/data-set.ts";
import type { Template } from "../../../train/templates/template.ts";

/** What one gateway of the demonstration has to learn from. */
export type GatewayPart = {
  readonly id: string;
  /** Where its readings come from, for people. */
  readonly from: string;
  readonly data: DataSet;
};

/** Something that a fleet learns together, from parts that differ. */
export type LearningTask = {
  readonly title: string;
  readonly bundle: Bundle;
  readonly parts: readonly GatewayPart[];
  /** All parts in one: what a fleet does not need. */
  readonly pooled: DataSet;
  /** Of all gateways; nobody trains on it. */
  readonly heldBack: DataSet;
  /** What held-back loss means, for people. */
  readonly measure: string;
  readonly training: {
    readonly epochs: number;
    readonly batch: number;
    readonly learningRate: number;
    readonly optimizer: { readonly kind: "sgd" | "adam" };
  };
  /** Section of the coordinator's settings, but for bundle and quorum. */
  readonly settings: Record<string, unknown>;
  readonly rounds: number;
};

/** Writes a model that has learned nothing yet as a bundle. */
export async function writeUntrained(root: string, { model, card }: Template): Promise<Bundle> {
  const dir = join(root, card.name);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "model.onnx"), encodeModel(model));
  writeFileSync(join(dir, "card.yaml"), stringify(card));
  return openBundle(dir);
}

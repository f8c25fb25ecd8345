import * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import { type Card, trainSchema } from "../inference/card.ts";
import type { TrainingSettings } from "./schedule.ts";

/**
 * How a model is to be trained: as its card says, but for what is asked for instead.
 * @throws TidegateError CARD_UNTRAINABLE when the card says nothing, USAGE when a wish is not possible
 */
export function settingsOf(card: Card, wishes: Readonly<Record<string, unknown>> = {}): TrainingSettings {
  if (!card.train)
    throw new TidegateError("CARD_UNTRAINABLE", {
      model: card.name,
      reason: "it says nothing under `train`",
      remedy:
        "Add `loss`, `target`, `trainable` and `train` to its card.yaml: docs/guides/train-on-the-device.md shows how.",
    });
  const parsed = trainSchema.safeParse({ ...card.train, ...wishes });
  if (parsed.success) return parsed.data;
  throw new TidegateError("USAGE", { detail: z.prettifyError(parsed.error) });
}

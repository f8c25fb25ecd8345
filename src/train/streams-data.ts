import { TidegateError } from "../base/errors.ts";
import type { Card } from "../inference/card.ts";
import type { DataSet } from "./data-set.ts";
import { readTargets } from "./example-rows.ts";
import { isAlike, joinData } from "./join-data.ts";
import { checkTargets } from "./targets.ts";
import type { ReadingSlice } from "./training-job.ts";
import { WindowData, type WindowDataOptions } from "./window-data.ts";

/** How the readings of one stream become examples. */
export type StreamData = Omit<WindowDataOptions, "card" | "seed">;

/** Readings of all streams that run a model, to one data set: each stream's go that stream's own way to windows. */
export class StreamsData {
  readonly #card: Card;
  readonly #parts: ReadonlyMap<string, WindowData>;

  /** @throws TidegateError PREPROCESS_INVALID, DATA_UNUSABLE */
  constructor(card: Card, streams: readonly StreamData[], seed: number) {
    this.#card = card;
    this.#parts = new Map(streams.map((data) => [data.stream.name, new WindowData({ ...data, card, seed })]));
  }

  /** Takes readings of one of the streams; of any other they are passed over. */
  frame({ frame, sources }: ReadingSlice): void {
    this.#parts.get(frame.stream)?.frame(frame, sources);
  }

  /** @throws TidegateError DATA_UNUSABLE: no example, labels out of range, one class alone, windows of other shapes */
  finish(): DataSet {
    const [only] = this.#parts.values();
    if (only && this.#parts.size === 1) return only.finish();
    const names = [...this.#parts.keys()].join(", ");
    const parts = [...this.#parts.values()].flatMap((part) => part.finishPart() ?? []);
    if (parts.length === 0) checkTargets(this.#card, `streams ${names}`, 0, undefined);
    const data = parts.reduce((all, part) => {
      if (isAlike(all, part)) return joinData(all, part, `streams ${names}`);
      throw new TidegateError("DATA_UNUSABLE", {
        what: `streams ${names}`,
        reason: "their windows are shaped differently",
        remedy: "Give them the same window, or models of their own.",
      });
    });
    const targets = readTargets(
      data,
      Int32Array.from(data.first, (_, example) => example),
    );
    const isLabelled = this.#card.target?.kind === "label" || this.#card.target?.kind === "field";
    const values = targets && isLabelled ? Float64Array.from(targets.data as ArrayLike<number>) : undefined;
    checkTargets(this.#card, `streams ${names}`, data.first.length, values);
    return data;
  }
}

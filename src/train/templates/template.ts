import type { z } from "zod";
import type { cardSchema } from "../../inference/card.ts";
import type { ModelProto } from "../../onnx/onnx_pb.ts";

/** What a new model is for. What a template does not need it leaves alone. */
export type TemplateOptions = {
  readonly name: string;
  readonly seed: number;
  /** Columns of a window, in order. */
  readonly fields: readonly string[];
  readonly units: Readonly<Record<string, string>>;
  /** Readings in a window. */
  readonly window: number;
  /** ms between two readings. */
  readonly periodMs?: number;
  /** Sizes of the layers between input and output. */
  readonly hidden: readonly number[];
  /** Field that is to be told; absent: the template's own target (of a forecast: all fields). */
  readonly target?: string;
  /** Readings ahead that a forecast looks. */
  readonly horizon: number;
  /** Readings that a recurrent layer takes in at one step; the window must be a multiple of it. */
  readonly readingsPerStep: number;
  /** Classes; absent: a number is told. */
  readonly labels?: readonly string[];
  /** Pixels of an image. */
  readonly image: { readonly width: number; readonly height: number };
  /** Characters that a language model knows; the last stands for all others. */
  readonly alphabet: string;
  /** Buckets that the words of a text are hashed into. */
  readonly buckets: number;
};

/** A model that has learnt nothing yet, and its card. */
export type Template = { readonly model: ModelProto; readonly card: NewCard };

/** A card as it is written: what has a default may be left out. */
export type NewCard = z.input<typeof cardSchema>;

export type MakeTemplate = (options: TemplateOptions) => Template;

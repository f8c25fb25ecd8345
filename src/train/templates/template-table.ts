import { charLm, cnn2d, text } from "./media.ts";
import { autoencoder, cnn1d, gru, linear, lstm, mlp, rnn } from "./series.ts";
import type { MakeTemplate, TemplateOptions } from "./template.ts";

type Row = {
  readonly make: MakeTemplate;
  readonly summary: string;
  /** What is taken where nothing is said. */
  readonly defaults: Partial<TemplateOptions>;
};

/** What `tidegate model new` can make. */
export const templates: Readonly<Record<string, Row>> = {
  linear: { make: linear, summary: "a weighted sum (regression, or classes with --labels)", defaults: { window: 1 } },
  mlp: { make: mlp, summary: "a multilayer perceptron", defaults: { window: 1, hidden: [64, 32] } },
  cnn1d: { make: cnn1d, summary: "a convolutional network over time", defaults: { window: 32, hidden: [16, 32] } },
  cnn2d: { make: cnn2d, summary: "a convolutional network over grey images", defaults: { hidden: [16, 32, 64] } },
  rnn: { make: rnn, summary: "a forecast by a recurrent network (tanh)", defaults: { window: 32, hidden: [32] } },
  gru: { make: gru, summary: "a forecast by a gated recurrent network", defaults: { window: 32, hidden: [32] } },
  lstm: { make: lstm, summary: "a forecast by a long short-term memory", defaults: { window: 32, hidden: [32] } },
  autoencoder: {
    make: autoencoder,
    summary: "anomalies: what a bottleneck cannot rebuild",
    defaults: { window: 16, hidden: [16, 8] },
  },
  text: { make: text, summary: "classes of texts, by their words", defaults: { hidden: [32] } },
  "char-lm": { make: charLm, summary: "a language model over characters", defaults: { window: 64, hidden: [24, 128] } },
};

const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index)).join("");

/** Options with the template's defaults, and general ones behind them. */
export function templateOptions(
  template: string,
  given: Partial<TemplateOptions> & { readonly name: string },
): TemplateOptions {
  return {
    seed: 1,
    fields: ["value"],
    units: {},
    window: 16,
    hidden: [],
    horizon: 1,
    readingsPerStep: 1,
    image: { width: 28, height: 28 },
    alphabet: `\n${printable}�`,
    buckets: 2048,
    ...templates[template]?.defaults,
    ...given,
  };
}

import { FakeClock } from "../../src/base/clock.ts";
import type { TidegateError } from "../../src/base/errors.ts";
import { headBytes } from "../../src/inference/framing.ts";
import { HostedModel } from "../../src/inference/hosted-model.ts";
import { parseCard } from "../../src/inference/parse-card.ts";

/** A model as it stands once loaded: two values per window, `score` of one number and `pair` of two. */
export function hostedModel(version = 1, clock = new FakeClock()): HostedModel {
  const card = parseCard(`
format: 1
name: model
version: ${version}
task: anomaly
fields: [{ name: a }]
window: { size: 2 }
inputs: [{ name: window, dims: [batch, 2, 1] }]
outputs: [{ name: score, kind: score, dims: [batch] }, { name: pair, kind: value, dims: [batch, 2] }]
verdict: { output: score, above: 1 }
`);
  const bundle = { name: "model", dir: "", card, modelFile: "", modelHash: "", hash: "", golden: "" };
  const model = new HostedModel(version, bundle, clock);
  model.loaded({ inputs: [], outputs: [], widths: [1, 2], providers: ["cpu"], refused: [], warmUpMs: 0 });
  return model;
}

/** A batch that the test answers when it likes. */
export type HeldRun = {
  readonly model: HostedModel;
  /** Values of the windows as they were sent. */
  readonly windows: number[];
  readonly count: number;
  /** Answers: the score is the window's first value, the pair both. */
  answer(): Promise<void>;
  fail(error: TidegateError): Promise<void>;
};

/** A place of a model host whose batches are answered by hand. */
export class HeldHost {
  readonly runs: HeldRun[] = [];

  run(
    model: HostedModel,
    frame: Uint8Array,
    count: number,
    width: number,
    take: (body: Uint8Array) => void,
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const windows = [...new Float32Array(frame.slice(headBytes).buffer)];
    const answer = () => {
      const first = windows.filter((_, i) => i % width === 0);
      take(new Uint8Array(Float32Array.from([...first, ...windows]).buffer));
      resolve();
      return settled();
    };
    const fail = (error: TidegateError) => {
      reject(error);
      return settled();
    };
    this.runs.push({ model, windows, count, answer, fail });
    return promise;
  }
}

/** Lets everything run that is due in this turn of the loop. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

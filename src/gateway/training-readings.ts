import { TidegateError } from "../base/errors.ts";
import { sliceFrame } from "../buffer/frame-slice.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config, StreamConfig } from "../config/config.ts";
import { type ReadingStore, readValues } from "../train/journal-readings.ts";
import type { StreamData } from "../train/streams-data.ts";
import { type Mark, ValueTable } from "../train/time-table.ts";
import type { ReadingSlice } from "../train/training-job.ts";

/** The readings of one stream that a training is on: sequence numbers; `until` is not included. */
export type ReadingRange = { readonly stream: string; readonly from: number; readonly until: number };

/** Which readings a training is on: a resumed one must see the same. */
export type ReadingChoice = {
  readonly readings: readonly ReadingRange[];
  /** Of label topics, by their stream: readings from here on came later. */
  readonly labels: Readonly<Record<string, number>>;
};

export type ReadingsOptions = {
  readonly config: Config;
  readonly journal: Pick<Journal, "read" | "stateOf">;
  readonly marks: { list(): Promise<readonly Mark[]> };
};

const sliceReadings = 2_048;

/** The gateway's own readings as a trainer takes them: those of every stream that runs the model, with what is said of them. */
export class TrainingReadings {
  readonly #options: ReadingsOptions;

  constructor(options: ReadingsOptions) {
    this.#options = options;
  }

  /** Models that streams run. */
  get models(): string[] {
    return [...new Set(Object.values(this.#options.config.streams).flatMap(({ model }) => model ?? []))];
  }

  /**
   * The streams that a model is trained on: the one that was asked for, else all that run it.
   * @throws TidegateError USAGE when there is none
   */
  streamsOf(model: string, asked: string | undefined): string[] {
    const { streams } = this.#options.config;
    if (asked !== undefined && streams[asked]) return [asked];
    const running = Object.keys(streams).filter((name) => streams[name]?.model === model);
    if (asked === undefined && running.length > 0) return running;
    const detail = asked === undefined ? `no stream runs the model ${model}` : `there is no stream ${asked}`;
    throw new TidegateError("USAGE", { detail });
  }

  /** The newest readings of each stream, up to now. */
  async choose(streams: readonly string[]): Promise<ReadingChoice> {
    const { journal, config } = this.#options;
    const labels: Record<string, number> = {};
    const readings: ReadingRange[] = [];
    for (const stream of streams) {
      const { next } = await journal.stateOf(stream);
      readings.push({ stream, from: Math.max(0, next - config.training.window), until: next });
      const said = config.streams[stream]?.labels;
      if (said) labels[said.stream] = (await journal.stateOf(said.stream)).next;
    }
    return { readings, labels };
  }

  /** How the readings of a choice become examples, with the labels and marks that there are. */
  async data({ readings, labels }: ReadingChoice): Promise<StreamData[]> {
    const { config, marks } = this.#options;
    const all = await marks.list();
    const maxExamples = Math.ceil(config.training.maxExamples / readings.length);
    const data: StreamData[] = [];
    for (const { stream } of readings) {
      const settings = this.#stream(stream);
      const said = settings.labels;
      data.push({
        stream: { name: stream, fields: Object.keys(settings.fields), config: settings, window: settings.window },
        maxExamples,
        marks: all.filter((mark) => mark.stream === stream),
        ...(said ? { labels: await this.#labels(said, labels[said.stream]) } : {}),
      });
    }
    return data;
  }

  /** The readings of a choice, slice by slice, so that commits get between. */
  async *slices({ readings }: ReadingChoice): AsyncGenerator<ReadingSlice> {
    const { journal } = this.#options;
    for (const { stream, from, until } of readings) {
      const { sources } = await journal.stateOf(stream);
      for (let at = from; at < until; ) {
        const frames = await journal.read(stream, { from: at, to: until, limit: sliceReadings });
        const last = frames.at(-1);
        if (!last) break;
        at = last.first + last.count;
        for (const frame of frames) {
          const within = sliceFrame(frame, from, until);
          if (within) yield { frame: within, sources };
        }
      }
    }
  }

  /** The newest values of a label topic. */
  async #labels({ stream, field, within }: NonNullable<StreamConfig["labels"]>, until: number | undefined) {
    const { journal, config } = this.#options;
    const store: ReadingStore = {
      read: (name, range) => journal.read(name, range),
      sourcesOf: async (name) => (await journal.stateOf(name)).sources,
    };
    const end = until ?? (await journal.stateOf(stream)).next;
    const from = Math.max(0, end - config.training.window);
    const values = new ValueTable();
    await readValues(values, store, { stream, fromNumber: from, until: end }, field);
    return { values: values.series, boundMs: within };
  }

  #stream(name: string): StreamConfig {
    const settings = this.#options.config.streams[name];
    if (settings) return settings;
    throw new TidegateError("BUG", { detail: `there is no stream ${name}` });
  }
}

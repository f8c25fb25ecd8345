import { TidegateError } from "../base/errors.ts";
import { type Frame, readingFlags, renderSource, type Source } from "../base/frame.ts";
import type { Card } from "../inference/card.ts";
import type { Statistics } from "../preprocess/normalize.ts";
import { Pipeline } from "../preprocess/pipeline.ts";
import type { PipelineConfig } from "../preprocess/pipeline-options.ts";
import type { WindowOptions } from "../preprocess/window.ts";
import type { DataSet } from "./data-set.ts";
import { type RawDataSet, withManifest } from "./manifest.ts";
import { RowStore } from "./row-store.ts";
import { type Mark, MarkTable, type ValueSeries, ValueTable } from "./time-table.ts";
import { WindowExamples } from "./window-examples.ts";

export type WindowDataOptions = {
  readonly card: Card;
  readonly stream: {
    readonly name: string;
    /** Fields of a reading, in the order of its values. */
    readonly fields: readonly string[];
    /** The stream's own way to windows: what the model is trained on is what it will see. `StreamConfig` fits. */
    readonly config: PipelineConfig;
    /** The stream's window; absent: the card's. */
    readonly window?: WindowOptions | undefined;
    /** For a stream that scales its windows: what it scales by, frozen. */
    readonly statistics?: Statistics | undefined;
  };
  /** A label topic: what a second stream said, and how far in time it may be from a window's newest reading. */
  readonly labels?: { readonly values: readonly ValueSeries[]; readonly boundMs: number } | undefined;
  /** Operators' marks, of any stream. */
  readonly marks?: readonly Mark[] | undefined;
  /** Field of the readings that is not 0 during an event; it need not be one of the model's. */
  readonly eventField?: string | undefined;
  /** Beyond it a sample, stratified by source and time, stands for all. Default 200,000, or what fills 64 MB. */
  readonly maxExamples?: number | undefined;
  readonly seed: number;
};

/** Numbers in memory, where it is not said how many examples there may be. */
const maxNumbers = 2 ** 24;

/** One line of `buffer export`. */
export type ExportedReading = {
  readonly source: Source;
  readonly ts: number;
  readonly receivedAt: number;
  readonly fields: Readonly<Record<string, number | null>>;
};

/**
 * Readings of one stream to examples. Push readings in order of arrival, from the journal (`frame`), its export (`line`)
 * or a file (`reading`); they go the stream's own way to windows, so late ones, gaps and repeats are treated as when the
 * model runs. Memory is bounded by `maxExamples`.
 */
export class WindowData {
  readonly #options: WindowDataOptions;
  readonly #pipeline: Pipeline;
  /** The field that is the target goes the same way, for itself: a reading that lacks it still counts in windows. */
  readonly #targetPipeline: Pipeline | undefined;
  readonly #targets = new ValueTable();
  readonly #store: RowStore;
  readonly #marks: MarkTable;
  readonly #sources = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #eventColumn: number;
  /** Time of the last reading of each source, while an event is on. */
  readonly #eventSince = new Map<string, number>();
  readonly #row: Float64Array;
  #readings = 0;
  #from = Number.POSITIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;

  /** @throws TidegateError PREPROCESS_INVALID, DATA_UNUSABLE */
  constructor(options: WindowDataOptions) {
    const { card, stream, marks, eventField, seed } = options;
    const { name, fields, config, statistics } = stream;
    const fault = (reason: string, remedy: string) =>
      new TidegateError("DATA_UNUSABLE", { what: `stream ${name}`, reason, remedy });
    const window = stream.window ?? windowOf(card);
    const isScaling = config.normalize === "zscore" || config.normalize === "minmax";
    if (isScaling && !statistics)
      throw fault(
        `its windows are scaled by running statistics (normalize: ${config.normalize}), and none are given`,
        "Set the stream's `normalize: model` and let the model scale, or train with the statistics that the stream has.",
      );
    this.#options = options;
    const outputs = card.fields.map((field) => field.name);
    const { reach, numbers } = new WindowExamples(card, window.size, memoryOf(config));
    const { maxExamples = Math.min(200_000, Math.ceil(maxNumbers / numbers)) } = options;
    this.#store = new RowStore({ width: outputs.length, reach, maxRows: maxExamples * window.hop, seed });
    const shared = { stream: config, fields, ...(statistics ? { statistics } : {}) };
    this.#pipeline = new Pipeline({
      ...shared,
      outputs,
      window,
      observer: {
        row: (source, ts, values) => this.#store.add(source, ts, values),
        restart: (source) => this.#store.restart(source),
      },
      emit: (source) => this.#store.end(source),
    });
    const target = targetField(card);
    if (target !== undefined)
      this.#targetPipeline = new Pipeline({
        stream: { ...config, normalize: "none" },
        fields,
        outputs: [target],
        window: { size: 1, hop: 1, maxGap: window.maxGap },
        emit: (source, _sequence, ts, _arrived, [value = Number.NaN]) =>
          this.#targets.add(this.#names[source] ?? "", ts, value),
      });
    this.#marks = new MarkTable(marks, name);
    this.#eventColumn = eventField === undefined ? -1 : fields.indexOf(eventField);
    if (eventField !== undefined && this.#eventColumn < 0)
      throw fault(`there is no field ${eventField}`, `Name one of ${fields.join(", ")}.`);
    this.#row = new Float64Array(fields.length);
  }

  /** Takes readings as the journal gives them. @param sources  the stream's dictionary */
  frame(frame: Frame, sources: readonly Source[], isWanted = (_source: string, _ts: number): boolean => true): void {
    const names = sources.map(renderSource);
    const { fields } = this.#options.stream;
    const columns = fields.map((name) => frame.values[frame.fields.indexOf(name)]);
    for (let i = 0; i < frame.count; i++) {
      const source = names[frame.source[i] ?? 0] ?? "";
      const ts = frame.ts[i] ?? Number.NaN;
      if (!isWanted(source, ts)) continue;
      for (let field = 0; field < columns.length; field++) this.#row[field] = columns[field]?.[i] ?? Number.NaN;
      this.reading(source, ts, this.#row, frame.flags[i] ?? 0);
    }
  }

  /** Takes a reading as `buffer export` tells it. Whether the time was the sensor's own is seen where it is not that of arrival. */
  line({ source, ts, receivedAt, fields }: ExportedReading): void {
    this.#options.stream.fields.forEach((name, field) => {
      this.#row[field] = fields[name] ?? Number.NaN;
    });
    this.reading(renderSource(source), ts, this.#row, ts === receivedAt ? 0 : readingFlags.sensorTime);
  }

  /** @param values  one per field, NaN where missing; not modified */
  reading(source: string, ts: number, values: Float64Array, flags: number = readingFlags.sensorTime): void {
    let index = this.#sources.get(source);
    if (index === undefined) {
      index = this.#names.push(source) - 1;
      this.#sources.set(source, index);
    }
    if (this.#eventColumn >= 0) this.#event(source, ts, values[this.#eventColumn] as number);
    // No time is let pass: the clock of arrivals plays no part.
    this.#targetPipeline?.push(index, this.#readings, ts, 0, values, flags);
    this.#pipeline.push(index, this.#readings, ts, 0, values, flags);
    this.#readings++;
    this.#from = Math.min(this.#from, ts);
    this.#to = Math.max(this.#to, ts);
  }

  /** Readings that reached no window, by reason. */
  get dropped(): Readonly<Record<string, number>> {
    return this.#pipeline.counters.dropped;
  }

  /** @throws TidegateError DATA_UNUSABLE: no example, labels out of range, one class alone */
  finish(): DataSet {
    const { name } = this.#options.stream;
    return this.#told(this.#examples().finish(`stream ${name}`));
  }

  /** As one part of what several streams give: it may have examples of one class alone. Null: it has none. */
  finishPart(): DataSet | null {
    const { name } = this.#options.stream;
    const examples = this.#examples();
    return examples.count === 0 ? null : this.#told(examples.finish(`stream ${name}`, true));
  }

  #told(raw: RawDataSet): DataSet {
    const { name } = this.#options.stream;
    const sources = [...this.#names].sort();
    const streams = [{ stream: name, sources, from: this.#from, to: this.#to }];
    return withManifest(raw, `stream ${name}`, this.#readings, streams);
  }

  #examples(): WindowExamples {
    const { card, stream, labels } = this.#options;
    const { size } = stream.window ?? windowOf(card);
    const examples = new WindowExamples(card, size, memoryOf(stream.config));
    const own = targetField(card);
    const said = labels && new ValueTable(labels.values);
    const targetAt = (source: string, ts: number): number => {
      if (own !== undefined) return this.#targets.at(source, ts, 0);
      if (said) return said.at(source, ts, labels?.boundMs ?? 0);
      const label = this.#marks.at(source, ts);
      return label === undefined ? Number.NaN : classOf(card, label, stream.name);
    };
    for (const run of this.#store.runs()) {
      const source = this.#names[run.source] ?? "";
      examples.add(run, {
        targetAt: (ts) => targetAt(source, ts),
        isMarked: (from, to) => this.#marks.touches(source, from, to),
      });
    }
    return examples;
  }

  #event(source: string, ts: number, value: number): void {
    if (!(value !== 0) || Number.isNaN(value)) {
      this.#eventSince.delete(source);
      return;
    }
    this.#marks.add(source, this.#eventSince.get(source) ?? ts, ts, "event");
    this.#eventSince.set(source, ts);
  }
}

const windowOf = ({ window }: Card): WindowOptions => ({
  size: window?.size ?? 1,
  hop: window?.hop ?? 1,
  maxGap: window?.maxGap ?? Number.POSITIVE_INFINITY,
});

/** Readings before a row that have a part in it, at most. */
function memoryOf({ clean, transform }: PipelineConfig): number {
  const steps = transform.map(({ op, over }) => (op === "difference" || op === "rate" ? 1 : (over ?? 1) - 1));
  const outliers = clean.outliers === "none" ? 0 : clean.hampel.window - 1;
  return steps.reduce((sum, step) => sum + step, outliers);
}

/** The readings' own field that holds the target. */
const targetField = ({ target }: Card): string | undefined =>
  target?.kind === "field" || target?.kind === "label" ? target.field : undefined;

function classOf(card: Card, label: string, stream: string): number {
  const index = card.labels.indexOf(label);
  if (index >= 0) return index;
  throw new TidegateError("DATA_UNUSABLE", {
    what: `stream ${stream}`,
    reason: `a mark says "${label}", which is none of the model's labels (${card.labels.join(", ") || "it has none"})`,
    remedy: "Mend the mark, or add the label to the card.",
  });
}

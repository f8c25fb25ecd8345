import { Counter, Gauge, Registry } from "prom-client";
import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { DurationHistogram } from "./duration-histogram.ts";
import { type HistogramName, metricTable, type ReadName } from "./metric-table.ts";

/** One number, or for each combination of labels its values (in the table's order) and the number. */
export type Samples = number | Iterable<readonly [labels: readonly string[], value: number]>;

/** Where the numbers are when somebody asks. A metric without a source is not shown. */
export type MetricSources = { readonly [K in ReadName]?: () => Samples };

/** Takes one duration, seconds. */
export type Observer = (seconds: number) => void;

/**
 * The daemon's metrics for Prometheus. Parts count in plain numbers of their own; nothing is done for a counter or a
 * gauge until somebody asks.
 */
export class Metrics {
  readonly contentType: string;
  readonly #registry = new Registry();
  readonly #log: Log;
  readonly #histograms = new Map<HistogramName, DurationHistogram[]>();
  readonly #observers = new Map<string, Observer>();
  readonly #failing = new Set<string>();
  #failures = 0;

  constructor({ sources, log }: { readonly sources: MetricSources; readonly log: Log }) {
    this.#log = log;
    this.contentType = this.#registry.contentType;
    this.add({ ...sources, tidegate_scrape_failures_total: () => this.#failures });
  }

  /** Adds sources of a part that came later. @throws when one of the metrics has a source already */
  add(sources: MetricSources): void {
    for (const [name, read] of Object.entries(sources) as [ReadName, () => Samples][]) this.#register(name, read);
  }

  /**
   * What to call with the duration of each piece of work.
   *
   * @param labels  values in the table's order
   */
  observer(name: HistogramName, labels: readonly string[] = []): Observer {
    const key = [name, ...labels].join("\0");
    const known = this.#observers.get(key);
    if (known) return known;
    const { labels: names, buckets } = metricTable[name];
    const histogram = new DurationHistogram(
      name,
      names.map((label, i) => [label, labels[i] ?? ""]),
      buckets,
    );
    this.#histograms.set(name, [...(this.#histograms.get(name) ?? []), histogram]);
    const observer = (seconds: number) => histogram.observe(seconds);
    this.#observers.set(key, observer);
    return observer;
  }

  /** Everything in Prometheus' text format. Never rejects for a source that fails: its metric is left out. */
  async render(): Promise<string> {
    const durations = [...this.#histograms].flatMap(([name, histograms]) => [
      `# HELP ${name} ${metricTable[name].help}`,
      `# TYPE ${name} histogram`,
      ...histograms.flatMap((histogram) => histogram.lines()),
    ]);
    return `${await this.#registry.metrics()}\n${durations.join("\n")}\n`;
  }

  #register(name: ReadName, read: () => Samples): void {
    const { type, help, labels } = metricTable[name];
    const collected = (into: { set(labels: Record<string, string>, value: number): void }): void => {
      for (const [values, value] of this.#read(name, read)) {
        if (Number.isFinite(value)) into.set(Object.fromEntries(labels.map((l, i) => [l, values[i] ?? ""])), value);
      }
    };
    const shared = { name, help, labelNames: labels, registers: [this.#registry] };
    if (type === "gauge") {
      const gauge: Gauge = new Gauge({
        ...shared,
        collect: () => {
          gauge.reset();
          collected({ set: (labelled, value) => gauge.set(labelled, value) });
        },
      });
    } else {
      const counter: Counter = new Counter({
        ...shared,
        collect: () => {
          counter.reset();
          // A counter that fell below zero is a fault of its part; the other metrics are shown all the same.
          collected({ set: (labelled, value) => value >= 0 && counter.inc(labelled, value) });
        },
      });
    }
  }

  #read(name: string, read: () => Samples): Iterable<readonly [readonly string[], number]> {
    try {
      const samples = read();
      // Read to the end here, so that a source that fails half-way is left out as a whole.
      const all = typeof samples === "number" ? [[[], samples] as const] : [...samples];
      this.#failing.delete(name);
      return all;
    } catch (thrown) {
      this.#failures++;
      if (!this.#failing.has(name)) this.#log.warn({ metric: name, reason: reasonOf(thrown) }, "metric not collected");
      this.#failing.add(name);
      return [];
    }
  }
}

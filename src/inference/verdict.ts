import { hash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import { renderSource, type Source } from "../base/frame.ts";
import type { Result, Verdict } from "../base/result.ts";
import type { Card } from "./card.ts";
import { type Judge, judgementNames, judgements, judgeOf } from "./judge.ts";
import type { BatchResult } from "./lane.ts";

export type VerdictOptions = {
  readonly stream: string;
  readonly alarm: {
    /** Alarming windows in a row that raise the alarm. */
    readonly onAfter: number;
    /** Normal windows in a row that end it. */
    readonly offAfter: number;
    /** A source that sends nothing for so long is `unknown`; 0: never. */
    readonly silentAfterMs: number;
  };
  readonly publish: { readonly when: "all" | "change" | "alarm"; readonly minIntervalMs: number };
  /** A result that took longer than this from arrival is marked late. */
  readonly lateAfterMs?: number;
  /** Dictionary of the stream's sources. */
  sourceOf(index: number): Source;
};

const { none, normal, alarm: alarming, unknown } = judgements;

/** What is kept of each source, as float64: one row of these columns. */
const columns = [
  ...(["verdict", "onRun", "offRun", "label", "publishedVerdict", "publishedLabel", "publishedTs"] as const),
  ...(["sequence", "ts", "heard"] as const),
];
const at = Object.fromEntries(columns.map((name, index) => [name, index])) as Record<(typeof columns)[number], number>;
const stride = columns.length;
const snapshotFormat = 1;

/** One output of the model over a batch, `width` numbers per window. */
type Output = { readonly name: string; readonly values: Float32Array; readonly width: number };

const lateAfterMs = 10_000;

/**
 * Turns what a model says of single windows into what a site is told: alarms with hysteresis, silence, and which results
 * are worth publishing. It knows no clock: times are given.
 *
 * A change of verdict is what subscribers build on, so the interval can delay it but never swallow it, and never delays an
 * alarm. Windows that were judged before (a replay) do not count again.
 */
export class VerdictTracker {
  readonly #options: VerdictOptions;
  readonly #lateAfterMs: number;
  #rows = new Float64Array(0);
  #count = 0;
  #silentUpTo = -1;
  #repeatedUpTo = -1;
  #model = { name: "", version: 0 };

  constructor(options: VerdictOptions) {
    this.#options = options;
    this.#lateAfterMs = options.lateAfterMs ?? lateAfterMs;
  }

  /** After a start: results up to `silentUpTo` were given and are not given again; up to `repeatedUpTo` they may have been. */
  recover(silentUpTo: number, repeatedUpTo: number): void {
    this.#silentUpTo = silentUpTo;
    this.#repeatedUpTo = repeatedUpTo;
  }

  /** A reading of this source arrived, whether or not it completes a window. Monotonic ms. */
  heard(source: number, now: number): void {
    if (source >= this.#count) this.#grow(source);
    const heard = source * stride + at.heard;
    // A replay plays readings of long ago: they do not make a source silent.
    this.#rows[heard] = Math.max(this.#rows[heard] as number, now);
  }

  /**
   * Takes a batch of results.
   * @param now  monotonic ms
   * @param give  called for each result that is to be published, with the sequence number of its newest reading
   */
  accept(batch: BatchResult, card: Card, now: number, give: (result: Result, sequence: number) => void): void {
    this.#model = { name: batch.model, version: batch.version };
    const judge = judgeOf(card, batch.outputs, batch.widths);
    const outputs = Object.entries(batch.outputs).map(([name, values]): Output => {
      return { name, values, width: batch.widths[name] ?? 1 };
    });
    for (let i = 0; i < batch.n; i++) {
      const source = batch.sources[i] as number;
      const sequence = batch.sequences[i] as number;
      if (source >= this.#count) this.#grow(source);
      const row = source * stride;
      if (sequence <= (this.#rows[row + at.sequence] as number)) continue;
      this.#rows[row + at.sequence] = sequence;
      this.#rows[row + at.ts] = batch.ts[i] as number;
      this.#rows[row + at.heard] = now;
      this.#advance(row, judge.judgement(i), judge.label(i));
      if (this.#isWorthIt(row)) {
        this.#published(row);
        if (sequence > this.#silentUpTo) give(this.#resultOf(batch, i, judge, outputs, now), sequence);
      }
    }
  }

  /** Hysteresis. A window that the model could not judge neither raises nor ends an alarm. */
  #advance(row: number, judgement: number, label: number): void {
    const rows = this.#rows;
    const { onAfter, offAfter } = this.#options.alarm;
    const onRun = judgement === alarming ? (rows[row + at.onRun] as number) + 1 : 0;
    const offRun = judgement === normal ? (rows[row + at.offRun] as number) + 1 : 0;
    rows[row + at.onRun] = onRun;
    rows[row + at.offRun] = offRun;
    rows[row + at.label] = label;
    const isOn = rows[row + at.verdict] === alarming;
    if (judgement === none) rows[row + at.verdict] = none;
    else if (isOn) rows[row + at.verdict] = offRun >= offAfter ? normal : alarming;
    else if (judgement === unknown) rows[row + at.verdict] = unknown;
    else rows[row + at.verdict] = onRun >= onAfter ? alarming : normal;
  }

  #isWorthIt(row: number): boolean {
    const rows = this.#rows;
    const { when, minIntervalMs } = this.#options.publish;
    const verdict = rows[row + at.verdict];
    const before = rows[row + at.publishedVerdict];
    const isNewVerdict = verdict !== before;
    if (isNewVerdict && verdict === alarming) return true;
    const isNew = isNewVerdict || (verdict === none && rows[row + at.label] !== rows[row + at.publishedLabel]);
    const isWanted = when === "all" || (when === "change" ? isNew : verdict === alarming || before === alarming);
    if (!isWanted) return false;
    // Times of sensors may jump back: then the interval counts as over.
    const since = (rows[row + at.ts] as number) - (rows[row + at.publishedTs] as number);
    return minIntervalMs === 0 || since >= minIntervalMs || since < 0 || before === -1;
  }

  #published(row: number): void {
    const rows = this.#rows;
    rows[row + at.publishedVerdict] = rows[row + at.verdict] as number;
    rows[row + at.publishedLabel] = rows[row + at.label] as number;
    rows[row + at.publishedTs] = rows[row + at.ts] as number;
  }

  /** Once per published window: one object, put together without copies. */
  #resultOf(batch: BatchResult, i: number, judge: Judge, columns: readonly Output[], now: number): Result {
    const index = batch.sources[i] as number;
    const ts = batch.ts[i] as number;
    // Arrival is known in whole ms: more digits than these would only be noise on the wire.
    const latencyMs = Math.max(0, Math.round((now - (batch.arrived[i] as number)) * 100) / 100);
    const outputs: Record<string, number | number[]> = {};
    for (const { name, values, width } of columns) {
      if (width === 1) outputs[name] = values[i] as number;
      else {
        const numbers: number[] = [];
        for (let k = i * width; k < (i + 1) * width; k++) numbers.push(values[k] as number);
        outputs[name] = numbers;
      }
    }
    const score = judge.score(i);
    const { stream } = this.#options;
    const source = this.#options.sourceOf(index);
    const { name, version } = this.#model;
    const result: { -readonly [key in keyof Result]: Result[key] } = {
      id: this.#idOf(source, ts, ""),
      stream,
      source,
      ts,
      model: name,
      version,
      outputs,
      score: Number.isNaN(score) ? null : score,
      label: judge.labels[judge.label(i)] ?? null,
      verdict: judgementNames[this.#rows[index * stride + at.verdict] as number] ?? null,
      provisional: false,
      latencyMs,
    };
    if ((batch.sequences[i] as number) <= this.#repeatedUpTo) result.repeated = true;
    if (latencyMs > this.#lateAfterMs) result.late = true;
    return result;
  }

  /** The id names the window, not its way through the gateway: the same window and version give the same id for ever. */
  #idOf(source: Source, ts: number, mark: string): string {
    const { name, version } = this.#model;
    const window = `${this.#options.stream}\0${renderSource(source)}\0${ts}\0${name}\0${version}\0${mark}`;
    return hash("sha256", window, "hex").slice(0, 32);
  }

  /**
   * Looks for sources that have fallen silent. Gives one `unknown` for each; the next window starts anew.
   * @param now  monotonic ms
   */
  tick(now: number, give: (result: Result, sequence: number) => void): void {
    const { silentAfterMs } = this.#options.alarm;
    if (silentAfterMs === 0) return;
    for (let index = 0; index < this.#count; index++) {
      const row = index * stride;
      const verdict = this.#rows[row + at.verdict];
      if ((this.#rows[row + at.sequence] as number) < 0 || verdict === unknown) continue;
      const silentMs = now - (this.#rows[row + at.heard] as number);
      if (silentMs < silentAfterMs) continue;
      this.#rows[row + at.verdict] = unknown;
      this.#rows[row + at.onRun] = 0;
      this.#rows[row + at.offRun] = 0;
      this.#published(row);
      const ts = this.#rows[row + at.ts] as number;
      const source = this.#options.sourceOf(index);
      const { name, version } = this.#model;
      const rest = { outputs: {}, score: null, label: null, verdict: "unknown", provisional: false } as const;
      const head = { id: this.#idOf(source, ts, "silent"), stream: this.#options.stream, source, ts };
      give(
        { ...head, model: name, version, ...rest, latencyMs: Math.round(silentMs) },
        this.#rows[row + at.sequence] as number,
      );
    }
  }

  #grow(source: number): void {
    const count = source + 1;
    if (count * stride > this.#rows.length) {
      const larger = new Float64Array(Math.max(16, count, this.#count * 2) * stride);
      larger.set(this.#rows);
      this.#rows = larger;
    }
    for (; this.#count < count; this.#count++) this.#clear(this.#count);
  }

  #clear(index: number): void {
    const row = index * stride;
    this.#rows.fill(0, row, row + stride);
    for (const column of ["sequence", "label", "publishedVerdict", "publishedLabel"] as const)
      this.#rows[row + at[column]] = -1;
  }

  /** Forgets how sources stand: they are no more. */
  forget(sources: readonly number[]): void {
    for (const index of sources) if (index < this.#count) this.#clear(index);
  }

  /** The state of all sources. */
  snapshot(): Uint8Array {
    const numbers = new Float64Array(2 + this.#count * stride);
    numbers.set([snapshotFormat, stride]);
    numbers.set(this.#rows.subarray(0, this.#count * stride), 2);
    return new Uint8Array(numbers.buffer);
  }

  /**
   * Takes up a snapshot's state.
   * @param now  monotonic ms: silence is counted from here, since times of another boot do not compare
   * @throws TidegateError SHAPE_MISMATCH when the snapshot is of another format: start empty then
   */
  restore(bytes: Uint8Array, now: number): void {
    const numbers = new Float64Array(new Uint8Array(bytes).buffer, 0, bytes.length >> 3);
    if (numbers[0] !== snapshotFormat || numbers[1] !== stride || (numbers.length - 2) % stride !== 0) {
      throw new TidegateError("SHAPE_MISMATCH", {
        what: "verdict snapshot",
        expected: `format ${snapshotFormat} with ${stride} columns`,
        actual: `format ${numbers[0]} with ${numbers[1]} columns`,
      });
    }
    this.#rows = numbers.slice(2);
    this.#count = this.#rows.length / stride;
    for (let index = 0; index < this.#count; index++) this.#rows[index * stride + at.heard] = now;
  }

  /** Verdict of a source as it stands: for status and the dashboard. */
  verdictOf(source: number): Verdict {
    return source < this.#count ? (judgementNames[this.#rows[source * stride + at.verdict] as number] ?? null) : null;
  }
}

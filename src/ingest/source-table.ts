import { TidegateError } from "../base/errors.ts";
import { erasedSource, isErasedSource, type Source } from "../base/frame.ts";

/** What one topic stands for in a stream. Whoever routes keeps it, so that a topic is looked up once. */
export type Origin = {
  readonly topic: string;
  readonly source: Source;
  /** Index of the source in the stream's dictionary; -1 until its first reading. */
  index: number;
};

/**
 * The sources of a stream by index. An index is never given to another source: readings on the disk bear it.
 * A source is entered with its first reading, so that payloads that cannot be read use up no place.
 */
export class SourceTable {
  readonly #stream: string;
  readonly #limit: number;
  readonly #sources: Source[];
  readonly #indexOf: Map<string, number>;
  #stored: number;

  /** @param sources  those that the journal has, by index */
  constructor(stream: string, limit: number, sources: readonly Source[]) {
    this.#stream = stream;
    this.#limit = limit;
    this.#sources = [...sources];
    this.#indexOf = new Map(
      sources.flatMap((source, index) => (isErasedSource(source) ? [] : [[keyOf(source), index] as const])),
    );
    this.#stored = sources.length;
  }

  get all(): readonly Source[] {
    return this.#sources;
  }

  /** Sources that the journal has not confirmed yet, in the order of their indexes. */
  get unstored(): Source[] {
    return this.#sources.slice(this.#stored);
  }

  /** The journal has the first `count` sources. */
  markStored(count: number): void {
    this.#stored = Math.max(this.#stored, Math.min(count, this.#sources.length));
  }

  /** Erases sources: what comes of one from now on is a source of its own. @returns the indexes that they had */
  erase(isGone: (source: Source) => boolean): number[] {
    return this.#sources.flatMap((source, index) => {
      if (isErasedSource(source) || !isGone(source)) return [];
      this.#indexOf.delete(keyOf(source));
      this.#sources[index] = erasedSource;
      return [index];
    });
  }

  /** @throws TidegateError SOURCES_TOO_MANY */
  indexOf(origin: Origin): number {
    if (origin.index >= 0 && !isErasedSource(this.#sources[origin.index] ?? {})) return origin.index;
    const key = keyOf(origin.source);
    let index = this.#indexOf.get(key);
    if (index === undefined) {
      if (this.#indexOf.size >= this.#limit)
        throw new TidegateError("SOURCES_TOO_MANY", { stream: this.#stream, limit: this.#limit });
      index = this.#sources.push(origin.source) - 1;
      this.#indexOf.set(key, index);
    }
    origin.index = index;
    return index;
  }
}

// With the names: after a change of the pattern `{room}` = 1 is not `{mote}` = 1.
const keyOf = (source: Source): string => JSON.stringify(source);

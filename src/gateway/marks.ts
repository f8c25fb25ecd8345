import { TidegateError } from "../base/errors.ts";
import type { Journal } from "../buffer/journal.ts";
import { deriveKey, open, seal } from "../crypto/sealing.ts";
import type { Mark } from "../train/time-table.ts";

/** Which marks are meant: all that touch the time, of this stream and source. */
export type MarkQuery = {
  readonly stream?: string | undefined;
  readonly source?: string | undefined;
  /** ms UTC; both ends count. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
};

const name = "marks";
const maxMarks = 10_000;

/**
 * What operators say of stretches of time: that there was an event, or which label holds. Kept sealed in `state.db`, since
 * streams, sources and times stand in it; whoever erases readings removes the marks of them, too.
 */
export class Marks {
  readonly #key: Uint8Array;
  readonly #state: Pick<Journal, "stateGet" | "statePut">;
  /** One change after the other: each writes the whole. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(storageRoot: Uint8Array, state: Pick<Journal, "stateGet" | "statePut">) {
    this.#key = deriveKey(storageRoot, "tidegate/marks/1");
    this.#state = state;
  }

  /** @throws TidegateError STORAGE_UNREADABLE when they were sealed with another key */
  async list(query: MarkQuery = {}): Promise<Mark[]> {
    const sealed = await this.#state.stateGet(name);
    if (!sealed) return [];
    const plain = open(sealed, this.#key);
    if (!plain)
      throw new TidegateError("STORAGE_UNREADABLE", {
        file: "state.db",
        reason: "the marks were sealed with another key",
      });
    return (JSON.parse(Buffer.from(plain).toString()) as Mark[]).filter((mark) => isMeant(mark, query));
  }

  /** @throws TidegateError USAGE when there are too many */
  add(mark: Mark): Promise<void> {
    return this.#change((marks) => {
      if (marks.length < maxMarks) return [...marks, mark];
      throw new TidegateError("USAGE", { detail: `there are ${maxMarks} marks: remove old ones first` });
    });
  }

  /** @returns how many went */
  async remove(query: MarkQuery): Promise<number> {
    let gone = 0;
    await this.#change((marks) => {
      const left = marks.filter((mark) => !isMeant(mark, query));
      gone = marks.length - left.length;
      return left;
    });
    return gone;
  }

  #change(how: (marks: Mark[]) => Mark[]): Promise<void> {
    const change = this.#turn.then(async () => {
      const marks = how(await this.list());
      await this.#state.statePut(name, seal(Buffer.from(JSON.stringify(marks)), this.#key));
    });
    this.#turn = change.catch(() => {});
    return change;
  }
}

const isMeant = (mark: Mark, { stream, source, from, to }: MarkQuery): boolean =>
  (stream === undefined || mark.stream === stream) &&
  (source === undefined || mark.source === source) &&
  (from === undefined || mark.to >= from) &&
  (to === undefined || mark.from <= to);

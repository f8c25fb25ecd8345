import { type Random, seededRandom } from "../base/random.ts";

const dayMs = 86_400_000;

/** A piece of a source's rows, without a break in it. */
type Piece = {
  readonly source: number;
  /** Random rank within its day: of too many pieces those that rank last go. */
  readonly rank: number;
  stratum: string;
  count: number;
  rows: Float32Array;
  /** Time of each row, ms UTC; NaN where it stands for no reading. */
  ts: Float64Array;
  /** 1 where a window ends. */
  ends: Uint8Array;
  /** Whether its first row follows on the last row of the piece before it. */
  follows: boolean;
  next: Piece | undefined;
};

/** Rows that follow on each other. */
export type Run = {
  readonly source: number;
  readonly rows: Float32Array;
  readonly ts: Float64Array;
  readonly ends: Uint8Array;
};

export type RowStoreOptions = {
  /** Numbers in a row. */
  readonly width: number;
  /** Rows that an example reaches over. */
  readonly reach: number;
  /** Most rows that are kept, give or take a piece of each source. */
  readonly maxRows: number;
  readonly seed: number;
};

/**
 * Keeps the rows of many sources within a bound. When there are more, whole pieces of some hundred rows go, at random
 * and from the source and day that has most: what stays is a stratified sample by source and time, in which windows are
 * still whole. The same rows and the same seed keep the same pieces.
 */
export class RowStore {
  readonly #options: RowStoreOptions;
  readonly #pieceRows: number;
  readonly #random: Random;
  /** Finished pieces by source and day. */
  readonly #strata = new Map<string, Piece[]>();
  readonly #open = new Map<number, Piece>();
  readonly #first = new Map<number, Piece>();
  readonly #gone = new Set<Piece>();
  /** Sources whose next row begins anew. */
  readonly #isBroken = new Set<number>();
  /** Rows in finished pieces. */
  #kept = 0;

  constructor(options: RowStoreOptions) {
    this.#options = options;
    this.#pieceRows = Math.max(256, 8 * options.reach);
    this.#random = seededRandom(options.seed);
  }

  /** Appends a row; it is copied. */
  add(source: number, ts: number, values: Float32Array): void {
    let piece = this.#open.get(source);
    const follows = !this.#isBroken.delete(source) && piece !== undefined;
    if (!piece || !follows || piece.count === this.#pieceRows) piece = this.#begin(source, piece, follows);
    piece.rows.set(values, piece.count * this.#options.width);
    piece.ts[piece.count] = ts;
    piece.count++;
    if (piece.stratum === "" && !Number.isNaN(ts)) piece.stratum = `${source}/${Math.floor(ts / dayMs)}`;
  }

  /** The source's last row ends a window. */
  end(source: number): void {
    const piece = this.#open.get(source);
    if (piece) piece.ends[piece.count - 1] = 1;
  }

  /** The source's next row does not follow on its last. */
  restart(source: number): void {
    if (this.#open.has(source)) this.#isBroken.add(source);
  }

  /** What was kept, source by source and each in order of arrival. Pieces that follow on each other are one run. */
  *runs(): Generator<Run> {
    for (const [source, first] of [...this.#first].sort(([a], [b]) => a - b)) {
      let run: Piece[] = [];
      for (let piece: Piece | undefined = first; piece; piece = piece.next) {
        const isGone = this.#gone.has(piece);
        if (run.length > 0 && (isGone || !piece.follows)) {
          yield joined(source, run, this.#options.width);
          run = [];
        }
        if (!isGone) run.push(piece);
      }
      if (run.length > 0) yield joined(source, run, this.#options.width);
    }
  }

  #begin(source: number, before: Piece | undefined, follows: boolean): Piece {
    const { width } = this.#options;
    const size = this.#pieceRows;
    const piece: Piece = {
      source,
      rank: this.#random(),
      stratum: "",
      count: 0,
      rows: new Float32Array(size * width),
      ts: new Float64Array(size),
      ends: new Uint8Array(size),
      follows,
      next: undefined,
    };
    this.#open.set(source, piece);
    if (before) {
      before.next = piece;
      this.#finish(before);
    } else this.#first.set(source, piece);
    return piece;
  }

  #finish(piece: Piece): void {
    const stratum = this.#strata.get(piece.stratum) ?? [];
    if (stratum.length === 0) this.#strata.set(piece.stratum, stratum);
    stratum.push(piece);
    if (piece.count < this.#pieceRows) trim(piece, piece.count, this.#options.width);
    this.#kept += piece.count;
    while (this.#kept > this.#options.maxRows) this.#drop();
  }

  #drop(): void {
    let fullest: Piece[] = [];
    for (const stratum of this.#strata.values()) if (isFuller(stratum, fullest)) fullest = stratum;
    const last = fullest.reduce((worst, piece) => (piece.rank > worst.rank ? piece : worst));
    fullest.splice(fullest.indexOf(last), 1);
    if (fullest.length === 0) this.#strata.delete(last.stratum);
    this.#gone.add(last);
    this.#kept -= last.count;
    // Its place in the chain stays, its memory goes.
    trim(last, 0, this.#options.width);
  }
}

function trim(piece: Piece, count: number, width: number): void {
  piece.rows = piece.rows.slice(0, count * width);
  piece.ts = piece.ts.slice(0, count);
  piece.ends = piece.ends.slice(0, count);
}

/** Of strata with one piece each the one whose piece ranks last goes first. */
const isFuller = (a: readonly Piece[], b: readonly Piece[]): boolean =>
  a.length > b.length || (a.length === b.length && (a[0]?.rank ?? 0) > (b[0]?.rank ?? 0));

function joined(source: number, pieces: readonly Piece[], width: number): Run {
  const count = pieces.reduce((sum, piece) => sum + piece.count, 0);
  const run = {
    source,
    rows: new Float32Array(count * width),
    ts: new Float64Array(count),
    ends: new Uint8Array(count),
  };
  let at = 0;
  for (const piece of pieces) {
    run.rows.set(piece.rows.subarray(0, piece.count * width), at * width);
    run.ts.set(piece.ts.subarray(0, piece.count), at);
    run.ends.set(piece.ends.subarray(0, piece.count), at);
    at += piece.count;
  }
  return run;
}

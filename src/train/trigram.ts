/** Rounds of expectation and maximisation for the four shares: they have settled long before. */
const rounds = 30;

/**
 * A language model of counts: the next token by the two before it, by the one before it, by itself, and any, in shares
 * that are fitted on text that was not counted (deleted interpolation).
 *
 * @see Jelinek and Mercer 1980, "Interpolated estimation of Markov source parameters from sparse data"
 */
export class Trigram {
  readonly #vocabulary: number;
  readonly #tokens: Int32Array;
  readonly #ones: Float64Array;
  readonly #twos = new Map<number, number>();
  readonly #threes = new Map<number, number>();
  /** Times a token, or a pair, was followed by anything. */
  readonly #afterOne: Float64Array;
  readonly #afterTwo = new Map<number, number>();
  #total = 0;
  /** Shares of three, two, one and no tokens. */
  shares: readonly number[] = [0.25, 0.25, 0.25, 0.25];

  /**
   * @param tokens  the whole text
   * @param counted  places in it whose token is counted with those before it
   */
  constructor(tokens: Int32Array, vocabulary: number, counted: Iterable<number>) {
    this.#tokens = tokens;
    this.#vocabulary = vocabulary;
    this.#ones = new Float64Array(vocabulary);
    this.#afterOne = new Float64Array(vocabulary);
    for (const place of counted) {
      const { c, b, pair, two, three } = this.#at(place);
      this.#ones[c] = (this.#ones[c] as number) + 1;
      this.#total++;
      if (b < 0) continue;
      this.#twos.set(two, (this.#twos.get(two) ?? 0) + 1);
      this.#afterOne[b] = (this.#afterOne[b] as number) + 1;
      if (pair < 0) continue;
      this.#threes.set(three, (this.#threes.get(three) ?? 0) + 1);
      this.#afterTwo.set(pair, (this.#afterTwo.get(pair) ?? 0) + 1);
    }
  }

  /** Fits the shares on places that were not counted. */
  fitShares(places: readonly number[]): void {
    for (let round = 0; round < rounds && places.length > 0; round++) {
      const sums = [0, 0, 0, 0];
      for (const place of places) {
        const parts = this.#parts(place).map((part, i) => part * (this.shares[i] ?? 0));
        const whole = parts.reduce((a, b) => a + b, 0);
        for (const [i, part] of parts.entries()) sums[i] = (sums[i] as number) + part / whole;
      }
      this.shares = sums.map((sum) => sum / places.length);
    }
  }

  /** Probability of a token (absent: the one that is there) at a place, given those before it. */
  probability(place: number, token?: number): number {
    return this.#parts(place, token).reduce((sum, part, i) => sum + part * (this.shares[i] ?? 0), 0);
  }

  /** e to the mean of -log of the probabilities. */
  perplexity(places: Iterable<number>): number {
    let sum = 0;
    let count = 0;
    for (const place of places) {
      sum -= Math.log(this.probability(place));
      count++;
    }
    return Math.exp(sum / count);
  }

  #parts(place: number, token?: number): number[] {
    const { c, b, pair, two, three } = this.#at(place, token);
    const afterTwo = pair < 0 ? 0 : (this.#afterTwo.get(pair) ?? 0);
    const afterOne = b < 0 ? 0 : (this.#afterOne[b] as number);
    // What was never followed by anything leaves its share to the next shorter past.
    const none = 1 / this.#vocabulary;
    const one = this.#total === 0 ? none : (this.#ones[c] as number) / this.#total;
    const byOne = afterOne === 0 ? one : (this.#twos.get(two) ?? 0) / afterOne;
    const byTwo = afterTwo === 0 ? byOne : (this.#threes.get(three) ?? 0) / afterTwo;
    return [byTwo, byOne, one, none];
  }

  #at(place: number, token = this.#tokens[place] as number) {
    const size = this.#vocabulary;
    const c = token;
    const b = place >= 1 ? (this.#tokens[place - 1] as number) : -1;
    const a = place >= 2 ? (this.#tokens[place - 2] as number) : -1;
    const pair = a < 0 || b < 0 ? -1 : a * size + b;
    return { c, b, pair, two: b * size + c, three: pair * size + c };
  }
}

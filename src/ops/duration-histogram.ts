/** Durations by bucket, counted in plain numbers: what is observed once a result must cost next to nothing. */
export class DurationHistogram {
  readonly #name: string;
  readonly #labels: string;
  /** Upper bounds, seconds, ascending. */
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param labels  name and value; values are ids or paths, which need no escaping beyond quotes and backslashes */
  constructor(name: string, labels: readonly (readonly [string, string])[], bounds: readonly number[]) {
    this.#name = name;
    this.#labels = labels.map(([label, value]) => `${label}="${value.replace(/["\\]/g, "\\$&")}"`).join(",");
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(seconds: number): void {
    if (!Number.isFinite(seconds)) return;
    let bucket = 0;
    while (bucket < this.#bounds.length && seconds > (this.#bounds[bucket] as number)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#sum += seconds;
  }

  /** Its lines in Prometheus' text format; buckets count what is at most their bound. */
  lines(): string[] {
    const rest = this.#labels === "" ? "" : `,${this.#labels}`;
    const own = this.#labels === "" ? "" : `{${this.#labels}}`;
    let count = 0;
    const lines = [...this.#bounds, "+Inf"].map((bound, i) => {
      count += this.#counts[i] ?? 0;
      return `${this.#name}_bucket{le="${bound}"${rest}} ${count}`;
    });
    return [...lines, `${this.#name}_sum${own} ${this.#sum}`, `${this.#name}_count${own} ${count}`];
  }
}

import { type BatchHead, domainOf, numbersOf } from "../wire/batch-head.ts";

/** Numbers that have been received: those above the first and up to the second, ascending and apart. */
export type Spans = readonly (readonly [above: number, upTo: number])[];

/** Everything of one stream, lane and incarnation: its name and what has been received. */
export type DomainRecord = { readonly domain: string; readonly spans: Spans };

const belowAll = -2;
/** Incarnations of one gateway that are remembered: batches of an older one can still lie in a broker's queue. */
const maxIncarnations = 4;

const sourceOf = ({ fleet, gateway }: BatchHead): string => `${fleet}/${gateway}`;
const nameOf = (head: BatchHead): string => `${sourceOf(head)}/${head.incarnation}/${domainOf(head)}`;

/** Adds a span; those that meet become one. */
export function addSpan(spans: Spans, above: number, upTo: number): Spans {
  let [low, high] = [above, upTo];
  const apart = spans.filter(([from, to]) => {
    if (to < low || from > high) return true;
    low = Math.min(low, from);
    high = Math.max(high, to);
    return false;
  });
  return [...apart, [low, high] as const].sort((a, b) => a[0] - b[0]);
}

const includes = (spans: Spans, n: number): boolean => spans.some(([above, upTo]) => n > above && n <= upTo);

/**
 * Which lines have been received. A batch may come twice, cut anew after a restart, by way of a backlog beside live
 * data, or as one of many that other sinks of the group took: so what is remembered is spans, and what a gateway says
 * will never come again closes their gaps.
 */
export class Received {
  readonly #domains = new Map<string, Spans>();
  /** The incarnations of each gateway, the newest last. */
  readonly #incarnations = new Map<string, string[]>();

  /** @param records  what was written down before */
  constructor(records: Iterable<DomainRecord> = []) {
    for (const { domain, spans } of records) {
      this.#domains.set(domain, spans);
      const [fleet, gateway, incarnation] = domain.split("/");
      this.#remember(`${fleet}/${gateway}`, incarnation ?? "");
    }
  }

  get size(): number {
    return this.#domains.size;
  }

  *records(): Generator<DomainRecord> {
    for (const [domain, spans] of this.#domains) yield { domain, spans };
  }

  /** A copy of what it knows of these gateways: what is added to it is not added here. */
  fork(heads: readonly BatchHead[]): Received {
    const copy = new Received();
    for (const head of heads) {
      const domain = nameOf(head);
      const spans = this.#domains.get(domain);
      if (spans) copy.#domains.set(domain, spans);
      const known = this.#incarnations.get(sourceOf(head));
      if (known) copy.#incarnations.set(sourceOf(head), [...known]);
    }
    return copy;
  }

  /** Positions of those lines of a batch that have not been received. */
  missing(head: BatchHead): number[] {
    const spans = this.#domains.get(nameOf(head)) ?? [];
    return numbersOf(head).flatMap((n, i) => (includes(spans, n) ? [] : [i]));
  }

  /** Incarnations of a gateway that came up after the one of this batch. */
  later(head: BatchHead): string[] {
    const known = this.#incarnations.get(sourceOf(head)) ?? [];
    const at = known.indexOf(head.incarnation);
    return at < 0 ? [] : known.slice(at + 1);
  }

  /** Whether a batch is of a life before another one that is known. */
  isEarlier(head: BatchHead, incarnation: string): boolean {
    return this.later(head).includes(incarnation);
  }

  /**
   * Everything of this batch has been received.
   * @returns what has changed; records without spans are forgotten
   */
  add(head: BatchHead): DomainRecord[] {
    const domain = nameOf(head);
    const settled = addSpan(this.#domains.get(domain) ?? [], belowAll, Math.min(head.floor, head.n) - 1);
    const spans = addSpan(settled, head.after, head.last);
    this.#domains.set(domain, spans);
    return [{ domain, spans }, ...this.#remember(sourceOf(head), head.incarnation)];
  }

  #remember(source: string, incarnation: string): DomainRecord[] {
    const known = this.#incarnations.get(source) ?? [];
    if (known.includes(incarnation)) return [];
    known.push(incarnation);
    this.#incarnations.set(source, known);
    if (known.length <= maxIncarnations) return [];
    const prefix = `${source}/${known.shift()}/`;
    const forgotten = [...this.#domains.keys()].filter((domain) => domain.startsWith(prefix));
    for (const domain of forgotten) this.#domains.delete(domain);
    return forgotten.map((domain) => ({ domain, spans: [] }));
  }
}

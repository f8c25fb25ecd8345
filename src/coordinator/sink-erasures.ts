import type { ErasableItem } from "../base/erasure-request.ts";
import type { Batch } from "../wire/batch.ts";
import type { BatchHead } from "../wire/batch-head.ts";
import { type EraseNotice, isInReach, isMeant, parseEraseNotice } from "../wire/erase-notice.ts";
import type { Received } from "./received.ts";
import type { SinkState, SinkStep } from "./sink-store.ts";

/** A line that a sink has written, as it stands there. */
export type WrittenLine = ErasableItem & {
  readonly stream: string;
  readonly lane: string;
  readonly incarnation: string;
  readonly n: number;
};

/** An erasure that a gateway asks for: of its own lines, whoever else's are in the same place. */
export type SinkErasure = {
  readonly fleet: string;
  readonly gateway: string;
  /** Whose topic it came on; the request says what is meant. */
  readonly stream: string;
  readonly incarnation: string;
  readonly n: number;
  readonly notice: EraseNotice;
  /** Whether a line of this gateway goes. */
  isErased(line: WrittenLine): boolean;
};

/** What is remembered of an erasure. */
type Kept = Pick<SinkErasure, "fleet" | "gateway" | "incarnation" | "n" | "notice"> & { readonly lines: number };

const storePrefix = "erase/";
/** Erasures of one gateway that are remembered: lines sealed before them may still lie in a broker's queue. */
const maxKept = 16;

const sourceOf = ({ fleet, gateway }: Pick<Kept, "fleet" | "gateway">): string => `${fleet}/${gateway}`;
const nameOf = (kept: Pick<Kept, "fleet" | "gateway" | "incarnation" | "n">): string =>
  `${storePrefix}${sourceOf(kept)}/${kept.incarnation}/${kept.n}`;

/**
 * The erasures that gateways have asked for. Numbers say what is meant, not the order of arrival: a batch that was sealed
 * before an erasure and comes after it brings nothing back, and what a source sends afterwards is kept.
 */
export class SinkErasures {
  /** By gateway, the oldest first. */
  #kept = new Map<string, readonly Kept[]>();

  load({ values }: SinkState): void {
    const all = [...values]
      .filter(([name]) => name.startsWith(storePrefix))
      .map(([, value]) => JSON.parse(value) as Kept);
    this.#kept = new Map(Map.groupBy(all, sourceOf));
  }

  /** The erasures in a batch that have not been done; none when it brings lines. @throws TidegateError BATCH_INVALID */
  asked({ head, lines }: Batch, numbers: readonly number[], received: Received): SinkErasure[] {
    if (head.kind !== "erase") return [];
    const { fleet, gateway, stream, incarnation } = head;
    const later = received.later(head);
    return lines.flatMap((line, i) => {
      const n = numbers[i] ?? head.n;
      if (this.#find(head, n)) return [];
      const notice = parseEraseNotice(line);
      const isErased = (line: WrittenLine) => {
        const isBefore = line.incarnation === incarnation ? isInReach(notice, line) : !later.includes(line.incarnation);
        return isBefore && isMeant(notice, line.stream, line);
      };
      return [{ fleet, gateway, stream, incarnation, n, notice, isErased }];
    });
  }

  #find({ fleet, gateway, incarnation }: BatchHead, n: number): Kept | undefined {
    const kept = this.#kept.get(`${fleet}/${gateway}`) ?? [];
    return kept.find((one) => one.incarnation === incarnation && one.n === n);
  }

  /** Lines that were taken out for the erasures of a batch. */
  linesOf(head: BatchHead, numbers: readonly number[]): number {
    return numbers.reduce((sum, n) => sum + (this.#find(head, n)?.lines ?? 0), 0);
  }

  /** Whether a line that arrives was erased before it came. */
  isErased(head: BatchHead, n: number, line: string, received: Received): boolean {
    const kept = this.#kept.get(sourceOf(head)) ?? [];
    const { stream, lane, incarnation } = head;
    const meant = kept.filter((one) =>
      one.incarnation === incarnation
        ? isInReach(one.notice, { stream, lane, n })
        : received.isEarlier(head, one.incarnation),
    );
    return meant.length > 0 && meant.some(({ notice }) => isMeant(notice, stream, itemOf(line)));
  }

  /** With these erasures done: what it is then, and what to write down for it. */
  with(done: readonly (SinkErasure & { readonly lines: number })[]): {
    erasures: SinkErasures;
    values: SinkStep["values"];
  } {
    const erasures = new SinkErasures();
    erasures.#kept = new Map(this.#kept);
    const values: Record<string, string | null> = {};
    for (const { fleet, gateway, incarnation, n, notice, lines } of done) {
      const kept: Kept = { fleet, gateway, incarnation, n, notice, lines };
      const all = [...(erasures.#kept.get(sourceOf(kept)) ?? []), kept];
      values[nameOf(kept)] = JSON.stringify(kept);
      for (const old of all.slice(0, -maxKept)) values[nameOf(old)] = null;
      erasures.#kept.set(sourceOf(kept), all.slice(-maxKept));
    }
    return { erasures, values };
  }
}

/** A line that says nothing of itself goes with whatever is erased of its stream. */
function itemOf(line: string): ErasableItem {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

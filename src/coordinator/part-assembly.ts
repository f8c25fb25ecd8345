import { hash } from "node:crypto";
import type { PartHead, UpdatePart } from "../federated/update-parts.ts";

/** What became of a part. `whole`: the update is complete. `missing`: parts that have not come, ascending. */
export type Assembled =
  | { readonly state: "whole"; readonly update: Uint8Array }
  | { readonly state: "partial"; readonly missing: readonly number[]; readonly isRepeat: boolean }
  | { readonly state: "broken" };

type Transfer = {
  readonly update: string;
  readonly of: number;
  readonly size: number;
  readonly pieces: Map<number, Uint8Array>;
  bytes: number;
};

/**
 * Puts updates together from their parts: in memory alone, since a gateway sends what a receipt says is missing. One
 * update of each gateway and model at a time, and so many bytes of all together: beyond that the one that has waited
 * longest is let go, and asked for again when its next part comes.
 */
export class PartAssembly {
  readonly #maxBytes: number;
  /** By gateway and model; the one that got a part last at the end. */
  readonly #transfers = new Map<string, Transfer>();
  #bytes = 0;
  evicted = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of pieces that wait for others. */
  get bytes(): number {
    return this.#bytes;
  }

  get transfers(): number {
    return this.#transfers.size;
  }

  add({ head, piece }: UpdatePart): Assembled {
    const key = `${head.gateway}/${head.model}`;
    const known = this.#transfers.get(key);
    const isSame = known?.update === head.update && known.of === head.of && known.size === head.size;
    // Another update of the same gateway: it has given the former one up.
    if (known && !isSame) this.#drop(key);
    const transfer: Transfer =
      known && isSame ? known : { update: head.update, of: head.of, size: head.size, pieces: new Map(), bytes: 0 };
    const isRepeat = transfer.pieces.has(head.n);
    this.#transfers.delete(key);
    this.#transfers.set(key, transfer);
    if (!isRepeat) this.#keep(transfer, head.n, piece);
    if (transfer.bytes > transfer.size) return this.#break(key);
    if (transfer.pieces.size < transfer.of) {
      this.#makeRoom(key);
      return { state: "partial", missing: missingOf(transfer), isRepeat };
    }
    const update = Buffer.concat(
      Array.from({ length: transfer.of }, (_, n) => transfer.pieces.get(n) ?? new Uint8Array()),
    );
    this.#drop(key);
    const isWhole = update.length === transfer.size && hash("sha256", update, "hex") === transfer.update;
    return isWhole ? { state: "whole", update } : { state: "broken" };
  }

  /** Lets go of what has come of an update; another one of the same gateway stays. */
  forget({ gateway, model, update }: Pick<PartHead, "gateway" | "model" | "update">): void {
    const key = `${gateway}/${model}`;
    if (this.#transfers.get(key)?.update === update) this.#drop(key);
  }

  #keep(transfer: Transfer, n: number, piece: Uint8Array): void {
    // A copy: the piece is a view of a larger message.
    transfer.pieces.set(n, new Uint8Array(piece));
    transfer.bytes += piece.length;
    this.#bytes += piece.length;
  }

  #break(key: string): Assembled {
    this.#drop(key);
    return { state: "broken" };
  }

  #makeRoom(newest: string): void {
    for (const key of this.#transfers.keys()) {
      if (this.#bytes <= this.#maxBytes || key === newest) return;
      this.#drop(key);
      this.evicted++;
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#transfers.get(key)?.bytes ?? 0;
    this.#transfers.delete(key);
  }
}

const missingOf = ({ of, pieces }: Transfer): number[] =>
  Array.from({ length: of }, (_, n) => n).filter((n) => !pieces.has(n));

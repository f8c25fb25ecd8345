import { renderSource, type Source } from "./frame.ts";

/** What is to be erased: everything that all of its parts say together. */
export type ErasureRequest = {
  readonly stream?: string;
  /** As it stands in topics: captured levels joined by "/". Of one stream, or of all. */
  readonly source?: string;
  /** Readings from before this time, ms UTC. */
  readonly before?: number;
  /** All readings of all streams: said, so that nothing is erased by leaving something out. */
  readonly all?: true;
};

/** What tells whether something that was made of readings is erased: a reading, a result, an aggregate. */
export type ErasableItem = { readonly source?: Source; readonly ts?: number; readonly from?: number };

/** Whether an item of a stream that the request touches is erased; one without a source goes with any source. */
export function isErasedItem({ source, before }: ErasureRequest, item: ErasableItem): boolean {
  if (source !== undefined && (!item.source || renderSource(item.source) !== source)) return item.source === undefined;
  return before === undefined || (item.ts ?? item.from ?? Number.NEGATIVE_INFINITY) < before;
}

import * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";
import { type CodecHeader, codecHeaderSchema } from "./codec-header.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

/** A step between two versions, as gateways fetch it: together with that before it, it leads back along their line. */
export type NamedChange = {
  /** Hash of the weights that it is added to. */
  readonly from: string;
  readonly codec: CodecHeader;
  /** The blob of the step that led to `from`; null: nobody can go further back. */
  readonly before: { readonly sha256: string; readonly bytes: number } | null;
  /** As `encodeBody` wrote it. */
  readonly body: Uint8Array;
};

const changeSchema = z.strictObject({
  v: z.literal(1),
  from: sha256,
  codec: codecHeaderSchema,
  before: z.strictObject({ sha256, bytes: z.int().positive() }).nullable(),
  body: z.instanceof(Uint8Array),
});

/** A step as a blob: CBOR. */
export const encodeChange = (change: NamedChange): Uint8Array => encodeCbor({ v: 1, ...change });

/** @throws TidegateError UPDATE_INVALID */
export function decodeChange(bytes: Uint8Array): NamedChange {
  let value: unknown;
  try {
    value = decodeCbor(bytes, { maxDepth: 3, maxItems: 64 });
  } catch (cause) {
    throw new TidegateError("UPDATE_INVALID", { reason: `it is not plain CBOR: ${reasonOf(cause)}` }, { cause });
  }
  const parsed = changeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new TidegateError("UPDATE_INVALID", {
    reason: `a step between versions: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`,
  });
}

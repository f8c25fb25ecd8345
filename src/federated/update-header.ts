import * as z from "zod";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { decodeCbor, encodeCbor } from "../wire/cbor.ts";

const name = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

const headerSchema = z.strictObject({
  v: z.literal(1),
  fleet: name,
  gateway: name,
  model: name,
  round: z.int().nonnegative(),
  /** `base.hash` of the round. */
  base: z.string().regex(/^[0-9a-f]{64}$/),
  mode: z.enum(["weights", "gradients", "statistics"]),
  /** `codec.codec` of the round. */
  codec: z.string().max(32),
  /** Numbers in the vector. */
  length: z.int().positive(),
  /** `weightOf`: a power of two, since an exact count of examples would tell of the site; at most the round's. */
  weight: z
    .int()
    .positive()
    .max(65_536)
    .refine((weight) => Number.isInteger(Math.log2(weight)), "must be a power of two"),
  /** How the base does on this gateway's held-back data: names as in the card's metrics, and `loss`. */
  metrics: z
    .record(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/), z.number())
    .refine((metrics) => Object.keys(metrics).length <= 32, "has more than 32 entries"),
});

/** What an update says of itself. Everything but `weight` and `metrics` follows from the signed round. */
export type UpdateHeader = z.output<typeof headerSchema>;

export type Update = {
  readonly header: UpdateHeader;
  /** As the round's codec writes it. */
  readonly body: Uint8Array;
};

/** An update as bytes: what is cut into parts. CBOR `{header, body}`. */
export const encodeUpdate = ({ header, body }: Update): Uint8Array => encodeCbor({ header, body });

/** @throws TidegateError UPDATE_INVALID; its fact `refusal` is `not-finite` where a number is none */
export function decodeUpdate(bytes: Uint8Array): Update {
  let value: unknown;
  try {
    value = decodeCbor(bytes, { maxDepth: 3, maxItems: 128 });
  } catch (cause) {
    throw invalid(`it is not plain CBOR: ${reasonOf(cause)}`, cause);
  }
  const { header, body } = (value ?? {}) as { header?: unknown; body?: unknown };
  if (!(body instanceof Uint8Array)) throw invalid("it has no body");
  const { metrics } = (header ?? {}) as { metrics?: object };
  if (Object.values(metrics ?? {}).some((value) => typeof value === "number" && !Number.isFinite(value)))
    throw invalid("a number in its header is not finite", undefined, "not-finite");
  const parsed = headerSchema.safeParse(header);
  if (!parsed.success) throw invalid(`its header: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`);
  return { header: parsed.data, body };
}

const invalid = (reason: string, cause?: unknown, refusal = "malformed") =>
  new TidegateError("UPDATE_INVALID", { reason, refusal }, { cause });

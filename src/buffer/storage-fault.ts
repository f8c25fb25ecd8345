import { reasonOf, TidegateError } from "../base/errors.ts";
import { SyncFailed } from "../drivers/sqlite-log.ts";

/** Code of the driver's or the system's error, or of our own. */
export const codeOf = (thrown: unknown): string => String((thrown as { code?: unknown } | null)?.code ?? "");

/** The file's own structure is broken. */
export const isDatabaseDamage = (thrown: unknown): boolean => /^SQLITE_(CORRUPT|NOTADB)/.test(codeOf(thrown));

/** Nothing can be made of the file: broken, or its names do not open. */
export const isDamage = (thrown: unknown): boolean =>
  isDatabaseDamage(thrown) || ["PIECE_CORRUPT", "KEY_DESTROYED"].includes(codeOf(thrown));

/** A commit may be in the file or not: its log was not synced. */
export const isInDoubt = (thrown: unknown): boolean =>
  thrown instanceof TidegateError && thrown.cause instanceof SyncFailed;

/** STORAGE_FAILED with the cause, unless it is an error of our own already. */
export function failed(thrown: unknown): TidegateError {
  if (thrown instanceof TidegateError) return thrown;
  const code = codeOf(thrown);
  const reason = code ? `${reasonOf(thrown)} (${code})` : reasonOf(thrown);
  return new TidegateError("STORAGE_FAILED", { reason }, { cause: thrown });
}

import { once } from "node:events";
import { TidegateError } from "../base/errors.ts";

/**
 * Resolves when whoever reads standard output has caught up. Who prints without end waits for it now and then: what a
 * slow reader has not taken stays in memory.
 *
 * @throws TidegateError STOPPED when the signal comes first
 */
export async function untilTaken(signal: AbortSignal): Promise<void> {
  if (!process.stdout.writableNeedDrain) return;
  try {
    await once(process.stdout, "drain", { signal });
  } catch (cause) {
    if (!signal.aborted) throw cause;
    throw new TidegateError("STOPPED", { what: "printing" }, { cause });
  }
}

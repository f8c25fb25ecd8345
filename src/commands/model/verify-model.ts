import { systemClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import type { Config } from "../../config/config.ts";
import type { Bundle } from "../../inference/bundle.ts";
import { type GoldenReport, verifyBundle } from "../../inference/golden.ts";
import { ModelHost } from "../../inference/model-host.ts";

/**
 * Runs a bundle's golden samples in a model process of its own, with the threads and providers of the configuration.
 * @throws TidegateError MODEL_UNREADABLE, MODEL_HASH_MISMATCH, MODEL_CONTRADICTS_CARD, MODEL_RUN_FAILED, STOPPED
 */
export async function verify(
  bundle: Bundle,
  { threads, maxBatch, providers }: Config["models"],
  signal: AbortSignal,
): Promise<GoldenReport> {
  const host = new ModelHost({ clock: systemClock, log: silentLog, threads, maxBatch, providers });
  try {
    await host.start(signal);
    return await verifyBundle(bundle, host);
  } finally {
    await host.stop(5_000);
  }
}

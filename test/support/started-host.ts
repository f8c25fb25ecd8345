import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { type HostOptions, ModelHost } from "../../src/inference/model-host.ts";

/** A started model host, stopped when the test ends. */
export async function startHost(options: Partial<HostOptions> = {}): Promise<ModelHost> {
  const host = new ModelHost({ clock: systemClock, log: silentLog, ...options });
  onTestFinished(() => host.stop(2_000));
  await host.start(new AbortController().signal);
  return host;
}

/** An empty folder, removed when the test ends. */
export function emptyFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-test-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Waits until `holds` is true; fails after `timeoutMs`. */
export async function eventually(holds: () => boolean, timeoutMs = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not true within ${timeoutMs} ms: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

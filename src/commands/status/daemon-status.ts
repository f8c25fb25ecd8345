import type { BufferStats } from "../../buffer/commit.ts";
import type { Gateway } from "../../gateway.ts";
import { ControlClient } from "../../ops/control-client.ts";

/** What the daemon tells of itself, and what is in its journal. */
export type DaemonStatus = ReturnType<Gateway["status"]> & { readonly buffer: BufferStats };

/** @throws TidegateError CONTROL_UNAVAILABLE, CONTROL_DENIED */
export async function askStatus(client: ControlClient, signal?: AbortSignal): Promise<DaemonStatus> {
  const options = signal === undefined ? {} : { signal };
  const [status, buffer] = await Promise.all([
    client.call("status", {}, options) as Promise<ReturnType<Gateway["status"]>>,
    client.call("buffer.stats", {}, options) as Promise<BufferStats>,
  ]);
  return { ...status, buffer };
}

/** Asks once, on a connection of its own. */
export async function askOnce(socket: string, signal: AbortSignal): Promise<DaemonStatus> {
  const client = await ControlClient.connect(socket);
  try {
    return await askStatus(client, signal);
  } finally {
    client.close();
  }
}

import { TidegateError } from "../../base/errors.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { loadFor } from "../load-configuration.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Io } from "../verb.ts";

/**
 * Asks the running daemon of the configuration; undefined when none runs, or a folder was named, which no daemon answers for.
 * @throws TidegateError as the daemon's method raised it, CONTROL_DENIED
 */
export async function askDaemon<T>(
  io: Io,
  options: { config?: string; dir?: string },
  method: string,
  params: Record<string, unknown> = {},
): Promise<T | undefined> {
  if (options.dir !== undefined) return undefined;
  let client: ControlClient;
  try {
    client = await ControlClient.connect(controlSocket(loadFor(io, options)));
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "CONTROL_UNAVAILABLE") return undefined;
    throw thrown;
  }
  try {
    return (await client.call(method, params, { signal: io.signal })) as T;
  } finally {
    client.close();
  }
}

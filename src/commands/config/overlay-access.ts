import { TidegateError } from "../../base/errors.ts";
import type { Tree } from "../../config/layers.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { inForce, reset } from "../../control/twin-state.ts";
import { TwinStore } from "../../control/twin-store.ts";
import { findKey } from "../../crypto/key-ring.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { keyPlace } from "../keys/passphrase.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Io } from "../verb.ts";

/** Asks the daemon; null when none runs. */
async function ask<T>(loaded: LoadedConfig, method: string): Promise<{ value: T } | null> {
  let client: ControlClient;
  try {
    client = await ControlClient.connect(controlSocket(loaded));
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "CONTROL_UNAVAILABLE") return null;
    throw thrown;
  }
  try {
    return { value: (await client.call(method, {})) as T };
  } finally {
    client.close();
  }
}

async function openTwin(io: Io, { config }: LoadedConfig): Promise<TwinStore | null> {
  const { key } = findKey(await keyPlace(io, config.gateway.dataDir), "storage");
  return key && new TwinStore(config.gateway.dataDir, key);
}

/** What came from afar and is in force on this gateway; null when nothing is. @throws TidegateError CONTROL_DENIED, KEY_… */
export async function readOverlayInForce(io: Io, loaded: LoadedConfig): Promise<Tree | null> {
  const asked = await ask<{ overlay: Tree | null }>(loaded, "twin.show");
  if (asked) return asked.value.overlay;
  const store = await openTwin(io, loaded);
  return (store && inForce(store.load().state)?.config) ?? null;
}

/** Breaks the glass: what came from afar is no longer in force. @throws TidegateError CONTROL_DENIED, KEY_… */
export async function resetOverlay(io: Io, loaded: LoadedConfig): Promise<void> {
  if (await ask(loaded, "twin.reset")) return;
  const store = await openTwin(io, loaded);
  if (store) await store.save(reset(store.load().state, "at the site"));
}

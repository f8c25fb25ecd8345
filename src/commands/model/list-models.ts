import { TidegateError } from "../../base/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Models } from "./model-folders.ts";

/** One line of `model ls`. What does not open has a fault, and neither version nor task. */
export type ModelLine = {
  readonly name: string;
  readonly version: number | null;
  readonly task: string | null;
  /** The running daemon uses this version; without a daemon: the configuration names this model. */
  readonly active: boolean;
  readonly streams: readonly string[];
  readonly dir: string;
  readonly hash: string | null;
  readonly fault?: string;
};

type Use = { readonly name: string; readonly version: number | null; readonly streams: readonly string[] };

export async function listModels({ registry, loaded }: Models): Promise<ModelLine[]> {
  const uses = loaded ? ((await usesOfDaemon(loaded)) ?? usesOf(loaded)) : [];
  return (await registry.list()).map((listing) => {
    const use = uses.find(({ name }) => name === listing.name);
    const { name, dir } = listing;
    const streams = use?.streams ?? [];
    if ("fault" in listing)
      return { name, version: null, task: null, active: false, streams, dir, hash: null, fault: listing.fault };
    const { version, task, hash } = listing;
    const active = use !== undefined && (use.version === null || use.version === version);
    return { name, version, task, active, streams, dir, hash };
  });
}

function usesOf({ config }: LoadedConfig): Use[] {
  const streams = Object.entries(config.streams).flatMap(([stream, { model }]) => (model ? [{ stream, model }] : []));
  const byModel = Map.groupBy(streams, ({ model }) => model);
  return [...byModel].map(([name, used]) => ({ name, version: null, streams: used.map(({ stream }) => stream) }));
}

/** Null when no daemon answers this user. */
async function usesOfDaemon(loaded: LoadedConfig): Promise<Use[] | null> {
  let client: ControlClient;
  try {
    client = await ControlClient.connect(controlSocket(loaded));
  } catch (thrown) {
    if (thrown instanceof TidegateError && /^CONTROL_/.test(thrown.code)) return null;
    throw thrown;
  }
  try {
    return (await client.call("models.list")) as Use[];
  } finally {
    client.close();
  }
}

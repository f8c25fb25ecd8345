import type { Log } from "../base/log.ts";
import { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";

/** The journal of a gateway, as its configuration says. @param onSetAside  it began anew: its numbers start over */
export const gatewayJournal = (config: Config, storageRoot: Uint8Array, log: Log, onSetAside: () => void): Journal =>
  new Journal({
    dir: config.gateway.dataDir,
    storageRoot,
    streams: Object.entries(config.streams).map(([name, { fields, keep }]) => ({
      name,
      fields: Object.keys(fields),
      keep,
    })),
    limits: config.buffer,
    blockReadings: config.buffer.blockReadings,
    log,
    onEvent: ({ event }) => {
      if (event === "set-aside") onSetAside();
    },
  });

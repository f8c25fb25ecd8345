import type { KeyRingOptions } from "../../crypto/key-ring.ts";
import { loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";
import { keyPlace } from "./passphrase.ts";

export type KeyOptions = { config?: string; json?: boolean; dir?: string };

export const dirOption = [
  "--dir <folder>",
  "data directory that the keys are for (default: that of the configuration)",
] as const;

/** Of the data directory that is named, or of the configuration. @throws TidegateError SECRET_UNREADABLE, CONFIG_INVALID */
export const placeFor = (io: Io, options: KeyOptions): Promise<KeyRingOptions> =>
  keyPlace(io, options.dir ?? loadFor(io, options).config.gateway.dataDir);

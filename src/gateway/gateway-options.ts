import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Result } from "../base/result.ts";
import type { Config } from "../config/config.ts";
import type { Twin } from "../control/twin.ts";
import type { KeyRing } from "../crypto/key-ring.ts";

export type GatewayOptions = {
  readonly config: Config;
  readonly keys: Pick<KeyRing, "storageRoot" | "signer" | "identity">;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly credentialsDir?: string | undefined;
  /** The configuration from afar; absent: none is taken. */
  readonly twin?: Twin | undefined;
  /** Told of every result that is given; for whoever watches from within. */
  onResult?(result: Result): void;
  /** Told how long work took, s; for histograms. */
  readonly observe?: {
    commit(seconds: number): void;
    inference(model: string, seconds: number): void;
    latency(stream: string, seconds: number): void;
  };
};

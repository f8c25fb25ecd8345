import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Random } from "../base/random.ts";
import type { Signer } from "../crypto/signing.ts";
import type { OwedSource } from "./owed-source.ts";
import type { UplinkTiming } from "./uplink-timing.ts";

/** What the uplink needs of the link to the cloud's broker. `Link` fits. */
export type UplinkLink = {
  publish(
    topic: string,
    payload: Uint8Array,
    options: { qos: 0 | 1; retain: boolean; contentType: string },
  ): Promise<{ readonly reason: number }>;
  readonly state: { readonly isOnline: boolean };
};

export type UplinkOptions = {
  readonly link: UplinkLink;
  /** In order of rank: the alarms' first. */
  readonly sources: readonly OwedSource[];
  readonly fleet: string;
  readonly gateway: string;
  /** Names one life of the numbers in `sources`: another one as soon as they start anew. */
  readonly incarnation: string;
  readonly signer: Signer;
  /** X25519 public key of the sink; null while it is not known. */
  sinkKey(): Uint8Array | null;
  /** Largest MQTT payload, bytes. */
  readonly maxPayload: number;
  /** Bytes of batches a second that a backlog may take. */
  readonly backlogRate?: number;
  readonly timing?: Partial<UplinkTiming>;
  /** A line that no batch can hold was given up. */
  onDropped?(stream: string, lines: number): void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
};

import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { maxVersion } from "../crypto/signed-document.ts";
import { type FleetHeights, type Lease, LeaseWatch, readCoordinators, readLease } from "./lease.ts";

export type FleetWatchOptions = {
  readonly fleet: string;
  readonly leaseMs: number;
  /** This coordinator's public key and those of its peers: others are listened to no further. */
  readonly known: readonly Uint8Array[];
  /** Of this process. */
  readonly instance: string;
  /** Whether the newest rounds may be of a key that is known no more. */
  readonly isTakeOver: boolean;
  readonly clock: Clock;
  readonly log: Log;
};

/** Of a document that can be no truth: what follows has to have room above. */
const heightOf = (value: unknown): number =>
  Number.isSafeInteger(value) ? Math.min(Number(value), maxVersion / 2 ** 24) : 0;

/**
 * What the broker tells a coordinator of its fleet: who else leads, and how far rounds have come. Everybody whom the broker
 * lets write there can say so; only known keys are believed.
 */
export class FleetWatch {
  readonly #options: FleetWatchOptions;
  readonly #leases: LeaseWatch;
  readonly #seen = { epoch: 0, documents: new Map<string, number>() };
  #hasToldStranger = false;

  constructor(options: FleetWatchOptions) {
    this.#options = options;
    this.#leases = new LeaseWatch(options.clock, options.leaseMs);
  }

  /** The other one that leads; null when there is none. */
  get leader(): Lease | null {
    return this.#leases.leader;
  }

  /** The highest epoch, and by model the highest version, that the fleet has seen. */
  get heights(): FleetHeights {
    return this.#seen;
  }

  /** @returns another one's lease; null when it is this one's own, or none to be believed */
  hearLease(payload: Uint8Array): Lease | null {
    const { fleet, known, instance } = this.#options;
    const heard = readLease(payload, fleet, known);
    if (!heard || heard.told.instance === instance) return null;
    if (heard.isStranger) {
      this.#tellStranger("says that it leads");
      return null;
    }
    this.#seen.epoch = Math.max(this.#seen.epoch, heard.told.epoch);
    this.#leases.heard(heard.told, heard.version);
    return heard.told;
  }

  hearRound(model: string, payload: Uint8Array): void {
    const { fleet, known, isTakeOver } = this.#options;
    const heard = readCoordinators("round", payload, fleet, known);
    if (!heard) return;
    if (heard.isStranger) {
      this.#tellStranger("has announced rounds");
      if (!isTakeOver) return;
    }
    const { epoch, version } = heard.told as { epoch?: unknown; version?: unknown };
    this.#seen.epoch = Math.max(this.#seen.epoch, heightOf(epoch));
    this.#seen.documents.set(model, Math.max(this.#seen.documents.get(model) ?? 0, heightOf(version)));
  }

  #tellStranger(what: string): void {
    if (this.#hasToldStranger) return;
    this.#hasToldStranger = true;
    this.#options.log.warn(
      {},
      `a coordinator whose key is not known here ${what}, and is not listened to: name its key in \`peers\` if it is yours; start with --take-over if it was this one before its keys were lost; else let the broker shut it out`,
    );
  }
}

import * as z from "zod";
import type { Clock } from "../base/clock.ts";
import { TidegateError } from "../base/errors.ts";
import type { Envelope } from "../crypto/envelope.ts";
import { openDocument, signDocument } from "../crypto/signed-document.ts";
import type { Signer } from "../crypto/signing.ts";
import type { CoordinatorStore } from "./coordinator-store.ts";

const kind = "coordinator-lease";

const leaseSchema = z.object({
  epoch: z.int().nonnegative(),
  /** Drawn at every start: two processes with the same keys are still two. */
  instance: z.string().regex(/^[0-9a-f]{16}$/),
  isEnded: z.boolean(),
});

/** Who leads a fleet, as it stands retained on the broker. */
export type Lease = z.output<typeof leaseSchema>;

/** How a coordinator stands to its fleet. `behind`: its data are older than what the fleet has seen. */
export type Role = "waiting" | "standby" | "leading" | "behind";

/** What is known of a fleet from the broker alone: the highest of everything that was announced. */
export type FleetHeights = { readonly epoch: number; readonly documents: ReadonlyMap<string, number> };

export const signLease = (fleet: string, version: number, lease: Lease, signer: Signer): string =>
  JSON.stringify(signDocument({ kind, audience: fleet, version, ...lease }, [signer]));

/** What stands on a topic that coordinators write: of one that is known here, of a stranger, or nothing to be read. */
export type Heard<T> = { readonly told: T; readonly version: number; readonly isStranger: boolean } | null;

/**
 * Opens a lease. Whoever can reach the topic may write there: only what a key signed that is known here is to be obeyed.
 * @param trusted  this coordinator's key and those of its peers
 */
export function readLease(payload: Uint8Array, fleet: string, trusted: readonly Uint8Array[]): Heard<Lease> {
  const heard = readCoordinators(kind, payload, fleet, trusted);
  const parsed = leaseSchema.safeParse(heard?.told);
  return heard && parsed.success ? { ...heard, told: parsed.data } : null;
}

/** What a document of a coordinator says; of a stranger's what it claims. */
export function readCoordinators(
  kind: string,
  payload: Uint8Array,
  fleet: string,
  trusted: readonly Uint8Array[],
): Heard<unknown> {
  try {
    const { document } = openDocument(payload, { kind, audience: fleet, trusted });
    return { told: document, version: document.version, isStranger: false };
  } catch (thrown) {
    if (!(thrown instanceof TidegateError)) throw thrown;
    const told = readUnverified(payload) as { kind?: unknown; audience?: unknown } | null;
    return told?.kind === kind && told.audience === fleet ? { told, version: 0, isStranger: true } : null;
  }
}

/** What a signed document says, whoever signed it; null when it is none. */
function readUnverified(payload: Uint8Array): unknown {
  if (payload.length > 256 * 1_024) return null;
  try {
    const { payload: inner } = JSON.parse(Buffer.from(payload).toString("utf8")) as Envelope;
    return JSON.parse(Buffer.from(inner, "base64").toString("utf8"));
  } catch {
    return null;
  }
}

/** Whether the first of two that both lead is the one to go on: the higher epoch, and of two alike the higher name. */
export const outranks = (a: Lease, b: Lease): boolean =>
  a.epoch !== b.epoch ? a.epoch > b.epoch : a.instance > b.instance;

/**
 * Why a store must not lead this fleet: gateways have seen newer documents than it ever gave. Null when nothing stands
 * against it.
 */
export async function behindReason(store: CoordinatorStore, heights: FleetHeights): Promise<string | null> {
  const epoch = await store.epoch();
  if (heights.epoch > epoch) return `the fleet has seen epoch ${heights.epoch}, the data here end with ${epoch}`;
  for (const [model, version] of heights.documents) {
    const own = await store.newestDocument(model);
    if (version > own) return `the fleet has seen document ${version} of ${model}, the data here end with ${own}`;
  }
  return null;
}

/** Watches the leases of others: when each was heard last, by this machine's monotonic clock. */
export class LeaseWatch {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  #heard: { lease: Lease; version: number; at: number } | null = null;

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /**
   * Another's lease; a retained one counts as heard now, since nobody knows how old it is. What was heard before lasts no
   * longer when somebody says it again.
   */
  heard(lease: Lease, version: number): void {
    const before = this.#heard;
    if (before?.lease.instance === lease.instance && version <= before.version) return;
    this.#heard = { lease, version, at: this.#clock.monotonic() };
  }

  /** The one that leads; null when it has been silent for too long, or has ended. */
  get leader(): Lease | null {
    const heard = this.#heard;
    if (!heard || heard.lease.isEnded || this.#clock.monotonic() - heard.at >= this.#leaseMs) return null;
    return heard.lease;
  }
}

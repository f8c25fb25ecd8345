import type { Signer } from "../crypto/signing.ts";
import { maxDataKeys, signDataKeys } from "../wire/data-keys.ts";
import { fleetTopics } from "../wire/topics.ts";
import type { SinkState, SinkStore } from "./sink-store.ts";

const storeName = "keys/announced";

export type Announcement = {
  readonly fleets: readonly string[];
  /** The current public key first. */
  readonly keys: readonly Uint8Array[];
  readonly signer: Signer;
};

/**
 * Tells fleets, by retained and signed documents, which keys to seal for. The version grows when the keys change, and
 * only then: it is counted in the store, not taken from a clock.
 */
export async function announceKeys(
  { fleets, keys: all, signer }: Announcement,
  link: { publish(topic: string, payload: string, options: { qos: 1; retain: true }): Promise<unknown> },
  store: SinkStore,
  { values }: SinkState,
): Promise<void> {
  const keys = all.slice(0, maxDataKeys);
  const list = keys.map((key) => Buffer.from(key).toString("base64")).join(" ");
  const [version, known] = (values.get(storeName) ?? "0\n").split("\n");
  const next = known === list ? Number(version) : Number(version) + 1;
  if (known !== list) await store.commit({ values: { [storeName]: `${next}\n${list}` } });
  for (const fleet of fleets) {
    const envelope = signDataKeys(fleet, { version: next, keys }, [signer]);
    await link.publish(fleetTopics(fleet).dataKeys, JSON.stringify(envelope), { qos: 1, retain: true });
  }
}

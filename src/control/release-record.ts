import { z } from "zod";

/** How far a gateway is with the release of a model that was offered to it. */
export const releaseStates = [
  "waiting",
  "fetching",
  "trying",
  "watching",
  "active",
  "refused",
  "rolled-back",
  "not-mine",
] as const;
export type ReleaseState = (typeof releaseStates)[number];

const hash = z.string().regex(/^[0-9a-f]{64}$/);

const recordSchema = z.object({
  /** Of the manifest that is followed. */
  manifest: z.int(),
  release: hash,
  releaseVersion: z.int(),
  state: z.enum(releaseStates),
  reason: z.string(),
  /** Starts of the gateway since the switch that did not get as far as to prove themselves. */
  starts: z.int(),
  /** Releases that were tried and did not do; the newest last. They are not tried again by themselves. */
  failed: z.array(hash),
});

/** What `state.db` keeps of a model's releases: one record for each model. */
export type ReleaseRecord = z.infer<typeof recordSchema>;

export type ReleaseStore = {
  stateGet(name: string): Promise<Uint8Array | null>;
  statePut(name: string, value: Uint8Array): Promise<void>;
};

/** Releases that are remembered as failed. */
const maxFailed = 16;

const nameOf = (model: string): string => `models/release/${model}`;

/** Reads a model's record; null when no release was ever followed, or when what is kept cannot be read. */
export async function readRecord(store: ReleaseStore, model: string): Promise<ReleaseRecord | null> {
  const saved = await store.stateGet(nameOf(model));
  if (!saved) return null;
  try {
    return recordSchema.parse(JSON.parse(Buffer.from(saved).toString("utf8")));
  } catch {
    return null;
  }
}

export const writeRecord = (store: ReleaseStore, model: string, record: ReleaseRecord): Promise<void> =>
  store.statePut(nameOf(model), Buffer.from(JSON.stringify(record)));

/** The record with this release among those that failed. */
export function withFailed(record: ReleaseRecord, state: "refused" | "rolled-back", reason: string): ReleaseRecord {
  const others = record.failed.filter((hash) => hash !== record.release);
  return { ...record, state, reason, failed: [...others, record.release].slice(-maxFailed) };
}

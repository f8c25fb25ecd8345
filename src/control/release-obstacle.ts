import type { Bundle } from "../inference/bundle.ts";
import { type Hardware, isInShare, type Manifest, unfitReason } from "./model-manifest.ts";
import type { ReleaseRecord, ReleaseState } from "./release-record.ts";

/** Where a release that is not begun with stands, and why. */
export type Obstacle = { readonly state: ReleaseState; readonly reason: string };

/**
 * Why a gateway does not begin with a release that does not run on it; null when nothing is in the way.
 * @param record  what is known of earlier releases of the model
 */
export function obstacleTo(
  manifest: Manifest,
  active: Bundle | null,
  record: ReleaseRecord | undefined,
  here: { readonly gateway: string; readonly hardware: Hardware },
): Obstacle | null {
  const { release, rollout } = manifest;
  const unfit = unfitReason(manifest, here.hardware);
  if (unfit) return { state: "refused", reason: unfit };
  if (rollout.isHalted) return { state: "not-mine", reason: "the rollout is halted" };
  if (!isInShare(here.gateway, rollout)) return { state: "not-mine", reason: "its turn has not come" };
  if (rollout.isForced) return null;
  if (record?.failed.includes(release.hash)) {
    const isLast = record.release === release.hash && record.reason !== "";
    if (isLast) return { state: record.state, reason: record.reason };
    return { state: "refused", reason: "it was tried here before and did not do" };
  }
  if (active && release.version <= active.card.version) {
    return { state: "refused", reason: `version ${active.card.version} runs here: ${release.version} is no newer` };
  }
  return null;
}

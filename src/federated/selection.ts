import { hash } from "node:crypto";
import type { RoundDocument } from "./round-document.ts";

const span = 2 ** 48;

/**
 * Where a gateway stands in the draw of a round, [0, 1). It depends on the base's hash, which nobody chose, and on
 * nothing that the coordinator could bend towards one gateway.
 */
export function drawOf(gateway: string, baseHash: string, round: number): number {
  const digest = hash("sha256", `tidegate/selection/1\n${gateway}\n${baseHash}\n${round}`, "buffer");
  return digest.readUIntBE(0, 6) / span;
}

/** Whether a gateway takes part in a round; both sides compute it. */
export const isSelected = (
  gateway: string,
  { base, round, fraction, quorum }: Pick<RoundDocument, "base" | "round" | "fraction" | "quorum">,
): boolean => drawOf(gateway, base.hash, round) < fraction * quorum.overSelection;

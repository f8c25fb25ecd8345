import type { Config } from "../config/config.ts";
import type { Tree } from "../config/layers.ts";
import { declaredAt, mapLeaves, type Path, renderPath } from "../config/walk.ts";
import type { Action, EgressLevel, Policy, Scope } from "./policy.ts";
import { decide, egressOf, isWider } from "./policy.ts";

export type KeyError = { readonly path: string; readonly message: string };

export type OverlayNeeds = {
  readonly action: Extract<Action, "config.set" | "config.guarded">;
  /** The stream that it is about, when it is about one alone. */
  readonly resource: Scope<string>;
  /** Keys that nobody may change from afar. */
  readonly errors: readonly KeyError[];
};

/** What an overlay asks of its signers, from the keys that it touches. */
export function overlayNeeds(overlay: Tree): OverlayNeeds {
  const errors: KeyError[] = [];
  const streams = new Set<string | null>();
  let isGuarded = false;
  mapLeaves(overlay, (leaf, _meta, path) => {
    const remote = remoteAt(path);
    if (remote === "guarded") isGuarded = true;
    if (remote === false) errors.push({ path: renderPath(path), message: "can be changed at the site only" });
    streams.add(path[0] === "streams" && path.length > 2 ? String(path[1]) : null);
    return leaf;
  });
  const [only] = streams;
  const resource = streams.size === 1 && typeof only === "string" ? { stream: only } : {};
  return { action: isGuarded ? "config.guarded" : "config.set", resource, errors };
}

/** Of values under a map, such as ranges by field, the map decides. */
function remoteAt(path: Path): boolean | "guarded" {
  const own = declaredAt(path).meta;
  return (own ?? declaredAt(path.slice(0, -1)).meta)?.remote ?? false;
}

/**
 * Streams that would send more than they may.
 * @param site  the configuration without the overlay: what it lets out counts where the policy says nothing
 * @param signers  principals; empty: nobody who could widen it
 */
export function egressErrors(
  next: Config,
  site: Config | null,
  policy: Policy | null,
  signers: readonly string[],
): KeyError[] {
  return Object.entries(next.streams).flatMap(([stream, { uplink }]) => {
    const allowed: EgressLevel | null = egressOf(policy, stream) ?? site?.streams[stream]?.uplink ?? null;
    if (allowed === null || !isWider(uplink, allowed)) return [];
    const request = { action: "egress.widen", resource: { gateway: next.gateway.id, stream }, signers } as const;
    if (policy && decide(policy, request).isAllowed) return [];
    return [
      { path: `streams.${stream}.uplink`, message: `${uplink} is more than may leave the site: ${allowed} at most` },
    ];
  });
}

import type { Tree } from "../../src/config/layers.ts";
import {
  begun,
  committed,
  emptyTwin,
  type Overlay,
  refused,
  reset,
  reverted,
  staged,
  type TwinState,
} from "../../src/control/twin-state.ts";

/** The root that the twin of the power-cut test is sealed under. */
export const twinRoot = new Uint8Array(32).fill(7);

/** Of some sectors each, and of another length than the one before. */
const overlay = (version: number): Overlay => ({
  version,
  hash: `h${version}`,
  config: {
    streams: { env: { alarm: { onAfter: version }, tags: "x".repeat(1_500 + ((version * 977) % 2_000)) } },
  } as Tree,
});

/** The states of a twin in the order in which a gateway writes them: all that can become of a configuration, twice over. */
export const twinStates: readonly TwinState[] = (() => {
  const states = [emptyTwin];
  const put = (change: (state: TwinState) => TwinState) => states.push(change(states.at(-1) ?? emptyTwin));
  for (const first of [1, 11]) {
    put((state) => staged(state, overlay(first), null));
    put(begun);
    put(committed);
    put((state) => staged(state, overlay(first + 1), null));
    put(begun);
    put((state) => reverted(state, "the site's broker is lost"));
    put((state) => staged(state, overlay(first + 2), null));
    for (let starts = 0; starts < 3; starts++) put(begun);
    put((state) => refused(state, overlay(first + 3), "it has faults", [{ path: "a", message: "b" }]));
    put((state) => reset(state, "at the site"));
  }
  return states;
})();

import type { Tree } from "../config/layers.ts";
import type { Vitals } from "./trial-verdict.ts";

/** A configuration that was signed from afar: what it changes. */
export type Overlay = { readonly version: number; readonly hash: string; readonly config: Tree };

/** What became of the newest desired configuration. `errors`: by key, when it had faults. */
export type TwinOutcome = {
  readonly version: number;
  readonly hash: string;
  readonly outcome: "committed" | "reverted" | "refused" | "reset";
  readonly reason?: string;
  readonly errors?: readonly { readonly path: string; readonly message: string }[];
};

/**
 * What a gateway knows of its configuration from afar. `good` has proved itself; `trial` is in force until it is judged,
 * `starts` counts how often it was tried.
 */
export type TwinState = {
  readonly good: Overlay | null;
  readonly trial: { readonly overlay: Overlay; readonly starts: number; readonly before: Vitals | null } | null;
  readonly last: TwinOutcome | null;
};

export const emptyTwin: TwinState = { good: null, trial: null, last: null };

/** Starts that a configuration on trial gets: it may have been in force when the power failed. */
const maxStarts = 2;

/** The overlay in force. */
export const inForce = (state: TwinState): Overlay | null => state.trial?.overlay ?? state.good;

/** The newest version that was dealt with; 0: none was. */
export const newestOf = ({ good, trial, last }: TwinState): number =>
  Math.max(good?.version ?? 0, trial?.overlay.version ?? 0, last?.version ?? 0);

/**
 * A new one is staged; one that was on trial gives way without having been judged. It is compared with what was before
 * that one: else a fault that comes twice in a row would be taken for how things are.
 */
export const staged = (state: TwinState, overlay: Overlay, now: Vitals | null): TwinState => ({
  ...state,
  trial: { overlay, starts: 0, before: state.trial ? state.trial.before : now },
});

/** What is on trial is about to be started: counted before, so that one that brings the gateway down cannot do so for ever. */
export function begun(state: TwinState): TwinState {
  const { trial } = state;
  if (!trial) return state;
  if (trial.starts >= maxStarts) return reverted(state, `it did not survive ${maxStarts} starts`);
  return { ...state, trial: { ...trial, starts: trial.starts + 1 } };
}

export function committed(state: TwinState): TwinState {
  if (!state.trial) return state;
  const { version, hash } = state.trial.overlay;
  return { good: state.trial.overlay, trial: null, last: { version, hash, outcome: "committed" } };
}

export function reverted(state: TwinState, reason: string): TwinState {
  if (!state.trial) return state;
  const { version, hash } = state.trial.overlay;
  return { ...state, trial: null, last: { version, hash, outcome: "reverted", reason } };
}

/** It never came into force. */
export const refused = (
  state: TwinState,
  of: Overlay,
  reason: string,
  errors: TwinOutcome["errors"] = [],
): TwinState => ({
  ...state,
  last: { version: of.version, hash: of.hash, outcome: "refused", reason, ...(errors.length > 0 ? { errors } : {}) },
});

/** Back to what the site itself says; versions up to now stay dealt with. */
export const reset = (state: TwinState, reason: string): TwinState => ({
  good: null,
  trial: null,
  last: { version: newestOf(state), hash: inForce(state)?.hash ?? "", outcome: "reset", reason },
});

import { readFileSync } from "node:fs";

/** Time as a parameter: everything that decides by time takes one of these. */
export type Clock = {
  /** Wall clock, ms since 1970 UTC. May jump, may start at 1970. */
  now(): number;
  /** Milliseconds since the machine booted (fractional); never goes back within one `bootId`. */
  monotonic(): number;
  /** Identifies this boot of the machine: monotonic times of different boots do not compare. */
  readonly bootId: string;
};

function readBootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    // Without procfs every process start counts as a boot: safe, since times are only compared within one id.
    return `process-${process.pid}-${Date.now().toString(36)}`;
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  bootId: readBootId(),
};

/** A clock for tests: time stands still until `advance` or `jump`. */
export class FakeClock implements Clock {
  readonly bootId = "fake-boot";
  #wall: number;
  #monotonic = 1000;

  constructor(wall = 1_700_000_000_000) {
    this.#wall = wall;
  }

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Time passes: both clocks move. */
  advance(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
  }

  /** Somebody sets the wall clock: only it moves. */
  jump(wall: number): void {
    this.#wall = wall;
  }
}

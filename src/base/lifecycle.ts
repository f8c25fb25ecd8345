import { TidegateError } from "./errors.ts";

/**
 * A part that lives. The constructor only stores; `start` does the I/O; `stop` may be called twice and after a
 * failed start, and is done within `deadlineMs`.
 */
export type Component = {
  readonly name: string;
  start(signal: AbortSignal): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
};

/** Starts components in order and stops them in reverse; a failed start unwinds what had started. */
export class Lifecycle {
  readonly #components: readonly Component[];
  #started: Component[] = [];

  constructor(components: readonly Component[]) {
    this.#components = components;
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const component of this.#components) {
      if (signal.aborted) break;
      this.#started.push(component);
      try {
        await component.start(signal);
      } catch (cause) {
        await this.stop(5_000);
        throw cause;
      }
    }
  }

  /** Stops everything that was started; a part that fails to stop does not keep the others up. */
  async stop(deadlineMs: number): Promise<void> {
    const end = performance.now() + deadlineMs;
    const failures: unknown[] = [];
    for (let component = this.#started.pop(); component; component = this.#started.pop()) {
      const left = Math.max(50, end - performance.now());
      await within(component.stop(left), left, `stopping ${component.name}`).catch((reason) => failures.push(reason));
    }
    if (failures.length > 0) throw failures[0];
  }
}

/** Components that do not need each other: they start, and stop, at the same time. */
export class Together implements Component {
  readonly name: string;
  readonly #components: readonly Component[];

  constructor(components: readonly Component[]) {
    this.name = components.map(({ name }) => name).join(" and ");
    this.#components = components;
  }

  /** Rejects with the first failure once all have started or failed: `stop` then finds nothing half way. */
  start = (signal: AbortSignal): Promise<void> => all(this.#components.map((component) => component.start(signal)));

  stop = (deadlineMs: number): Promise<void> => all(this.#components.map((component) => component.stop(deadlineMs)));
}

async function all(works: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(works)) if (result.status === "rejected") throw result.reason;
}

/** Rejects with TIMEOUT when `work` takes longer than `timeoutMs`; the work itself goes on. */
export async function within<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new TidegateError("TIMEOUT", { what, timeoutMs: Math.round(timeoutMs) })),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after `ms`, or at once when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

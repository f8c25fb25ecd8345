import cron from "node-cron";
import { reasonOf } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";

export type Job = { readonly name: string; readonly schedule: string; run(): Promise<unknown> };

/** What runs on schedule, by the configuration's own names. */
export function housekeeping(
  schedules: Config["schedules"],
  gateway: { readonly journal: Journal; aggregate(): Promise<void> },
): Job[] {
  const work: Record<keyof Config["schedules"], () => Promise<unknown>> = {
    aggregate: () => gateway.aggregate(),
    retention: () => gateway.journal.retain(),
    merge: () => gateway.journal.merge(),
    checkpoint: () => gateway.journal.checkpoint(),
  };
  return Object.entries(work).map(([name, run]) => ({ name, run, schedule: schedules[name as keyof typeof work] }));
}

/** Runs housekeeping by the clock on the wall; a job that still runs when its time comes again is left out that time. */
export class Schedules implements Component {
  readonly name = "schedules";
  readonly #jobs: readonly Job[];
  readonly #log: Log;
  #tasks: { stop(): unknown; destroy(): unknown }[] = [];
  #running = new Set<Promise<unknown>>();

  constructor(jobs: readonly Job[], log: Log) {
    this.#jobs = jobs;
    this.#log = log;
  }

  async start(): Promise<void> {
    this.#tasks = this.#jobs.map((job) => {
      let isRunning = false;
      return cron.schedule(job.schedule, () => {
        if (isRunning) return;
        isRunning = true;
        const work = job
          .run()
          .catch((thrown: unknown) =>
            this.#log.warn({ job: job.name, reason: reasonOf(thrown) }, "scheduled job failed"),
          )
          .finally(() => {
            isRunning = false;
            this.#running.delete(work);
          });
        this.#running.add(work);
      });
    });
  }

  async stop(): Promise<void> {
    for (const task of this.#tasks.splice(0)) {
      await task.stop();
      await task.destroy();
    }
    await Promise.allSettled(this.#running);
  }
}

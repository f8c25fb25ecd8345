import { unwatchFile, watchFile } from "node:fs";
import { reasonOf } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";

const lookMs = 1_000;

/** Takes up a file, or a folder, whenever it changes: within a second. What has faults is told, and what was known stays. */
export class WatchedFile implements Component {
  readonly name: string;
  readonly #file: string;
  readonly #log: Log;
  readonly #look: () => void;

  /** @param take  reads it; what it returns is told in the log, undefined is nothing to tell */
  constructor(name: string, file: string, log: Log, take: () => object | undefined) {
    this.name = name;
    this.#file = file;
    this.#log = log;
    this.#look = () => {
      try {
        const facts = take();
        if (facts) this.#log.info(facts, `the ${name} were read again`);
      } catch (thrown) {
        this.#log.error({ file, reason: reasonOf(thrown) }, `the ${name} have faults: the old ones stay`);
      }
    };
  }

  async start(): Promise<void> {
    watchFile(this.#file, { interval: lookMs }, this.#look);
  }

  async stop(): Promise<void> {
    unwatchFile(this.#file, this.#look);
  }
}

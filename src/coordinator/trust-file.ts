import { unwatchFile, watchFile } from "node:fs";
import { reasonOf } from "../base/errors.ts";
import type { Component } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import { type GatewayTrust, readTrustedKeys } from "./gateway-trust.ts";

const lookMs = 1_000;

/** Takes up the file of trusted keys whenever it changes: a key that was revoked holds no longer than a second. */
export class TrustFile implements Component {
  readonly name = "trusted keys";
  readonly #file: string;
  readonly #trust: GatewayTrust;
  readonly #log: Log;
  readonly #look = (): void => {
    try {
      const trusted = readTrustedKeys(this.#file);
      this.#trust.replace(trusted);
      this.#log.info({ gateways: Object.keys(trusted).length }, "the trusted keys were read again");
    } catch (thrown) {
      this.#log.error(
        { file: this.#file, reason: reasonOf(thrown) },
        "the trusted keys have faults: the old ones stay",
      );
    }
  };

  constructor(file: string, trust: GatewayTrust, log: Log) {
    this.#file = file;
    this.#trust = trust;
    this.#log = log;
  }

  async start(): Promise<void> {
    watchFile(this.#file, { interval: lookMs }, this.#look);
  }

  async stop(): Promise<void> {
    unwatchFile(this.#file, this.#look);
  }
}

import { reasonOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Journal } from "../buffer/journal.ts";
import type { Config } from "../config/config.ts";
import { openDataKeys } from "../wire/data-keys.ts";

const announcedName = "cloud/data-keys-version";

/** The public key that everything for the cloud is sealed to: pinned in the configuration, or announced and signed. */
export class SinkKey {
  readonly #cloud: Config["cloud"];
  readonly #fleet: string;
  readonly #journal: Pick<Journal, "stateGet" | "statePut">;
  readonly #log: Log;
  #key: Uint8Array | null;
  /** The newest announcement that was taken: an older one could bring back a key that was lost. */
  #version = 0;

  constructor(
    { cloud, gateway }: Pick<Config, "cloud" | "gateway">,
    journal: Pick<Journal, "stateGet" | "statePut">,
    log: Log,
  ) {
    this.#cloud = cloud;
    this.#fleet = gateway.fleet;
    this.#journal = journal;
    this.#log = log;
    this.#key = cloud?.dataKey === undefined ? null : decode(cloud.dataKey);
  }

  async load(): Promise<void> {
    const saved = await this.#journal.stateGet(announcedName);
    if (saved) this.#takeUp(Buffer.from(saved).toString("utf8"));
    if (this.#key === null && this.#cloud?.dataSigner === undefined)
      this.#log.warn("neither cloud.dataKey nor cloud.dataSigner: what is owed to the cloud waits in the outbox");
  }

  /** A broker that kept the session does not repeat the announcement: without its key nothing could be sent again. */
  #takeUp(saved: string): void {
    const [version, key, signer] = saved.split(" ");
    this.#version = Number(version);
    if (this.isAnnounced && key && signer === this.#cloud?.dataSigner) this.#key = decode(key);
  }

  get value(): Uint8Array | null {
    return this.#key;
  }

  /** The public key that the sink signs with; null when the configuration pins the key to seal for alone. */
  get signer(): Uint8Array | null {
    const signer = this.#cloud?.dataSigner;
    return signer === undefined ? null : decode(signer);
  }

  /** Whether announcements are of interest. */
  get isAnnounced(): boolean {
    return this.#cloud?.dataKey === undefined && this.#cloud?.dataSigner !== undefined;
  }

  /** Takes an announcement; true when there is a key from now on. One that does not hold is logged and changes nothing. */
  announce(payload: Uint8Array): boolean {
    const signer = this.#cloud?.dataSigner;
    if (!this.isAnnounced || signer === undefined) return false;
    try {
      const trust = { fleet: this.#fleet, trusted: [decode(signer)], minVersion: this.#version };
      const { version, keys } = openDataKeys(payload, trust);
      this.#key = keys[0] ?? null;
      this.#version = version;
      const saved = this.#key && `${version} ${Buffer.from(this.#key).toString("base64")} ${signer}`;
      if (saved) void this.#journal.statePut(announcedName, Buffer.from(saved)).catch(() => {});
      return this.#key !== null;
    } catch (thrown) {
      this.#log.warn({ reason: reasonOf(thrown) }, "an announcement of data keys was refused");
      return false;
    }
  }
}

const decode = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"));

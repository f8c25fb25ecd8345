import type { Log } from "../base/log.ts";
import type { BrokerTls } from "../drivers/broker-socket.ts";
import { certificateExpiry } from "../drivers/peer-certificates.ts";
import { brokerAddress } from "./link-options.ts";

/** When certificates stop being valid, ms since 1970; null: there is none, or it has not been seen yet. */
export type CertificateEnds = {
  /** The first of the chain that the broker showed, up to the trusted authority. */
  readonly broker: number | null;
  /** The one that this side shows. */
  readonly client: number | null;
};

/** What is known of how well a link is protected. */
export class LinkSecurity {
  /** Any certificate is taken (`tls.insecureSkipVerify`). */
  readonly isUnverified: boolean;
  readonly #client: number | null;
  #broker: number | null = null;

  constructor(url: string, tls: BrokerTls | undefined) {
    this.isUnverified = tls?.insecureSkipVerify === true && URL.canParse(url) && brokerAddress(url).isTls;
    this.#client = tls?.cert === undefined ? null : certificateExpiry(tls.cert);
  }

  get certificates(): CertificateEnds {
    return { broker: this.#broker, client: this.#client };
  }

  /** A connection came about. */
  opened(certificateEnds: number | null): void {
    this.#broker = certificateEnds;
  }

  warn(link: string, url: string, log: Log): void {
    if (!this.isUnverified) return;
    const event = "tls.insecureSkipVerify is set: any certificate is taken, and whoever is on the way reads everything";
    log.warn({ link, url }, event);
  }
}

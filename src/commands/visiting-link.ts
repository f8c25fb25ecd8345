import { systemClock } from "../base/clock.ts";
import { silentLog } from "../base/log.ts";
import type { LinkConfig } from "../config/config.ts";
import { readCredentials } from "../gateway/credentials.ts";
import { Link } from "../wire/link.ts";
import type { LinkMessage, LinkSubscription } from "../wire/link-options.ts";
import type { Io } from "./verb.ts";

export type Visit = {
  readonly link: Link;
  /** Leaves the broker without a trace. */
  leave(): Promise<void>;
};

export type VisitOptions = {
  /** "site" or "cloud". */
  readonly name: string;
  readonly settings: LinkConfig;
  readonly clientId: string;
  /** Largest packet that is taken, bytes. */
  readonly maxPacket: number;
  readonly subscriptions: readonly LinkSubscription[];
  onMessage(message: LinkMessage): void;
};

const connectMs = 15_000;

/**
 * Connects to a broker as a client of its own, which the broker forgets when it leaves.
 *
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED …, SECRET_UNREADABLE
 */
export async function openVisit(io: Io, { settings, ...options }: VisitOptions): Promise<Visit> {
  const link = new Link({
    ...options,
    settings: { ...settings, sessionExpiry: 0 },
    credentials: readCredentials(settings, io.env.CREDENTIALS_DIRECTORY),
    ack: "auto",
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
  await link.start();
  const leave = () => link.stop(5_000);
  try {
    await link.online(Math.min(connectMs, settings.connectTimeout));
  } catch (thrown) {
    await leave();
    throw thrown;
  }
  return { link, leave };
}

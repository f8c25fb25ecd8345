import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { Link } from "../../src/wire/link.ts";
import type { LinkOptions, LinkSettings } from "../../src/wire/link-options.ts";
import type { Repeat } from "../../src/wire/link-redelivery.ts";

export type Got = { topic: string; text: string; repeat: Repeat; retain: boolean; ticket: number };

/** What a link needs to reach the broker at `url`, with short pauses between attempts. */
export const linkOptions = (url: string, settings: Partial<LinkSettings> = {}): LinkOptions => ({
  name: "site",
  settings: {
    ...{ url, protocol: "auto", receiveMaximum: 8192, sessionExpiry: 3_600_000, keepalive: 30_000 },
    ...settings,
  },
  clientId: "gateway",
  credentials: {},
  subscriptions: [{ topic: "s/#", qos: 1, retained: "ignore" }],
  ack: "gated",
  maxPacket: 1 << 20,
  backoff: { baseMs: 20, maxMs: 200 },
  onMessage: () => {},
  clock: systemClock,
  log: silentLog,
  random: Math.random,
});

/** Starts a link that notes what it gets; stop it in the test's clean-up. */
export function openLink(url: string, options: Partial<LinkOptions> = {}, settings: Partial<LinkSettings> = {}) {
  const got: Got[] = [];
  const link: Link = new Link({
    ...linkOptions(url, settings),
    onMessage: ({ topic, payload, repeat, retain }) =>
      got.push({ topic, text: Buffer.from(payload).toString(), repeat, retain, ticket: link.lastTicket }),
    ...options,
  });
  void link.start();
  return { link, got };
}

/** Waits for something to come true, and fails by name when it does not. */
export async function until(check: () => boolean, what: string, timeoutMs = 15_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!check()) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

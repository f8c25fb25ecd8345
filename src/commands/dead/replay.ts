import { systemClock } from "../../base/clock.ts";
import { TidegateError } from "../../base/errors.ts";
import { within } from "../../base/lifecycle.ts";
import { silentLog } from "../../base/log.ts";
import type { Config } from "../../config/config.ts";
import { readCredentials } from "../../gateway/credentials.ts";
import { Link } from "../../wire/link.ts";
import type { JournalAccess, Letter } from "../buffer/journal-access.ts";
import type { Io } from "../verb.ts";

export type Replayed = {
  readonly replayed: readonly number[];
  /** Those that are still there, and why. */
  readonly kept: readonly { readonly id: number; readonly reason: string }[];
};

const connectTimeoutMs = 10_000;
const answerTimeoutMs = 10_000;
const noSubscribers = 0x10;
const refused = 0x80;

/**
 * Publishes letters with QoS 1 on the site's broker and removes each that the broker hands on.
 * @throws TidegateError BROKER_UNREACHABLE, BROKER_REFUSED, …, SECRET_UNREADABLE
 */
export async function replay(
  letters: AsyncIterable<Letter>,
  journal: JournalAccess,
  config: Config,
  io: Io,
): Promise<Replayed> {
  const { id, fleet } = config.gateway;
  const link = new Link({
    name: "replay",
    settings: { ...config.sensors, sessionExpiry: 0 },
    // The daemon's own id would throw the daemon out.
    clientId: `${config.sensors.clientId ?? `${fleet}-${id}`}-replay-${process.pid}`,
    credentials: readCredentials(config.sensors, io.env.CREDENTIALS_DIRECTORY),
    subscriptions: [],
    ack: "auto",
    maxPacket: 65_536,
    onMessage: () => {},
    clock: systemClock,
    log: silentLog,
    random: Math.random,
  });
  await link.start();
  const replayed: number[] = [];
  const kept: { id: number; reason: string }[] = [];
  try {
    await link.online(connectTimeoutMs);
    for await (const letter of letters) {
      if (io.signal.aborted) throw new TidegateError("STOPPED", { what: "the replay" });
      const reason = await publish(link, letter);
      if (reason !== null) kept.push({ id: letter.id, reason });
      else {
        // Removed after the broker has it: a replay that is broken off publishes twice rather than never.
        await journal.removeLetters([letter.id]);
        replayed.push(letter.id);
      }
    }
  } finally {
    await link.stop(2_000);
  }
  return { replayed, kept };
}

/** @returns null when the broker has handed it on, else why it has not */
async function publish(link: Link, { topic, payload, size }: Letter): Promise<string | null> {
  if (payload.length < size) return `only ${payload.length} of its ${size} bytes were kept`;
  const answer = link.publish(topic, payload, { qos: 1 });
  const { reason } = await within(answer, answerTimeoutMs, "the broker's answer");
  if (reason === noSubscribers) return "nobody has subscribed to its topic: is the daemon running?";
  return reason >= refused ? `the broker refused it (reason ${reason})` : null;
}

import { randomBytes } from "node:crypto";
import { TidegateError } from "../../base/errors.ts";
import { sleep } from "../../base/lifecycle.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { signCommand } from "../../control/command-document.ts";
import type { CommandStatus } from "../../control/commands.ts";
import { fleetTopics } from "../../wire/topics.ts";
import type { Io } from "../verb.ts";
import { type OperatorOptions, visitCloud } from "./operator.ts";
import { signersOf } from "./operator-keys.ts";

export type CommandAnswer = CommandStatus & { readonly gateway: string };

/** A command that has not been executed by then is not executed at all, ms. */
const validMs = 10 * 60_000;
/** Retained status documents are there at once, or not at all. */
const challengeMs = 5_000;

/**
 * Sends a signed command to gateways and waits for how it ends there; those that do not answer are told as failed.
 * @throws TidegateError BROKER_…, KEYS_ABSENT …
 */
export async function sendCommand(
  io: Io,
  loaded: LoadedConfig,
  options: OperatorOptions,
  {
    name,
    params,
    isDestructive,
    waitMs,
    onStatus = () => {},
  }: {
    name: string;
    params: Record<string, unknown>;
    isDestructive: boolean;
    waitMs: number;
    /** What a gateway says of it, as it comes; what is made up for one that says nothing is told last. */
    onStatus?: (status: CommandAnswer) => void;
  },
): Promise<CommandAnswer[]> {
  const signers = signersOf(options.key);
  const { fleet } = loaded.config.gateway;
  const topics = fleetTopics(fleet);
  const id = randomBytes(8).toString("hex");
  const answers = new Map<string, CommandStatus>();
  const challenges = new Map<string, string>();
  const parse = <T>(payload: Uint8Array): Partial<T> => {
    try {
      return JSON.parse(Buffer.from(payload).toString("utf8")) as Partial<T>;
    } catch {
      return {};
    }
  };
  const subscriptions = options.to.flatMap((gateway) => [
    { topic: topics.gateway(gateway).commandStatus(id), qos: 1 as const, retained: "ignore" as const },
    { topic: topics.gateway(gateway).status, qos: 1 as const, retained: "each" as const },
  ]);
  const { link, leave } = await visitCloud(io, loaded, subscriptions, ({ topic, payload }) => {
    for (const gateway of options.to) {
      const own = topics.gateway(gateway);
      const { challenge } = topic === own.status ? parse<{ challenge: string }>(payload) : {};
      if (challenge !== undefined) challenges.set(gateway, challenge);
      const status = topic === own.commandStatus(id) ? parse<CommandStatus>(payload) : {};
      if (status.status) onStatus({ ...(status as CommandStatus), gateway });
      if (status.status === "successful" || status.status === "failed") answers.set(gateway, status as CommandStatus);
    }
  });
  try {
    const wait = (until: number, isDone: () => boolean) => waitFor(until, isDone, io.signal);
    if (isDestructive) await wait(challengeMs, () => challenges.size === options.to.length);
    for (const gateway of options.to) {
      const challenge = isDestructive ? challenges.get(gateway) : undefined;
      const request = { fleet, gateway, id, name, params, challenge, validMs };
      const envelope = signCommand(request, signers, Date.now());
      await link.publish(topics.gateway(gateway).command(id), JSON.stringify(envelope), { qos: 1, retain: false });
    }
    await wait(waitMs, () => answers.size === options.to.length);
  } finally {
    await leave();
  }
  const silent = (gateway: string): CommandStatus => ({
    ...{ id, status: "failed" },
    reason: isDestructive && !challenges.has(gateway) ? "it has told no challenge" : "no answer",
  });
  return options.to.map((gateway) => {
    const answered = answers.get(gateway);
    const last = { ...(answered ?? silent(gateway)), gateway };
    if (!answered) onStatus(last);
    return last;
  });
}

export async function waitFor(forMs: number, isDone: () => boolean, signal: AbortSignal): Promise<void> {
  const end = performance.now() + forMs;
  while (!isDone() && performance.now() < end) {
    if (signal.aborted) throw new TidegateError("STOPPED", { what: "waiting for gateways" });
    await sleep(50, signal);
  }
}

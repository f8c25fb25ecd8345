import { readFileSync } from "node:fs";
import { parse } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { isTree, type Tree } from "../../config/layers.ts";
import type { LoadedConfig } from "../../config/load.ts";
import type { TwinOutcome } from "../../control/twin-state.ts";
import { signDocument } from "../../crypto/signed-document.ts";
import { fleetTopics } from "../../wire/topics.ts";
import { type OperatorOptions, visitCloud } from "../cloud/operator.ts";
import { signersOf } from "../cloud/operator-keys.ts";
import { waitFor } from "../cloud/send-command.ts";
import type { Io } from "../verb.ts";

/** What a gateway said of a configuration that was pushed; `pending`: it has not been heard of, or the trial goes on. */
export type PushAnswer = {
  readonly gateway: string;
  readonly outcome: TwinOutcome["outcome"] | "trial" | "pending";
  readonly reason?: string;
  readonly errors?: TwinOutcome["errors"];
};

type Report = {
  readonly trial: { readonly version: number } | null;
  readonly last: TwinOutcome | null;
  readonly refused: { readonly reason: string } | null;
};

/** @throws TidegateError FILE_UNREADABLE, USAGE */
export function readOverlay(file: string): Tree {
  let written: unknown;
  try {
    written = parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  if (!isTree(written)) throw new TidegateError("USAGE", { detail: `${file} holds no keys and values` });
  return written;
}

/**
 * Signs a desired configuration for each gateway, leaves it with the broker, and waits for what becomes of it.
 * @throws TidegateError BROKER_…, KEYS_ABSENT …
 */
export async function pushConfig(
  io: Io,
  loaded: LoadedConfig,
  options: OperatorOptions,
  overlay: Tree,
  waitMs: number,
): Promise<PushAnswer[]> {
  const signers = signersOf(options.key);
  const { fleet } = loaded.config.gateway;
  const version = Date.now();
  const reports = new Map<string, Report>();
  const topics = fleetTopics(fleet);
  const subscriptions = options.to.map((gateway) => {
    return { topic: topics.gateway(gateway).twinReported, qos: 1, retained: "ignore" } as const;
  });
  const { link, leave } = await visitCloud(io, loaded, subscriptions, ({ topic, payload }) => {
    const gateway = options.to.find((id) => topic === topics.gateway(id).twinReported);
    if (gateway === undefined) return;
    try {
      reports.set(gateway, JSON.parse(Buffer.from(payload).toString("utf8")) as Report);
    } catch {
      // Whoever writes what is not JSON there has not answered.
    }
  });
  try {
    for (const gateway of options.to) {
      const document = {
        ...{ kind: "twin-desired", audience: `${fleet}/${gateway}`, version },
        ...{ issuedAt: new Date(version).toISOString(), config: overlay },
      };
      const envelope = JSON.stringify(signDocument(document, signers));
      await link.publish(topics.gateway(gateway).twinDesired, envelope, { qos: 1, retain: true });
    }
    const isJudged = (gateway: string) =>
      !["trial", "pending"].includes(answerOf(gateway, reports.get(gateway), version).outcome);
    await waitFor(waitMs, () => options.to.every(isJudged), io.signal);
  } finally {
    await leave();
  }
  return options.to.map((gateway) => answerOf(gateway, reports.get(gateway), version));
}

function answerOf(gateway: string, report: Report | undefined, version: number): PushAnswer {
  if (report?.last?.version === version) {
    const { outcome, reason, errors } = report.last;
    return { gateway, outcome, ...(reason === undefined ? {} : { reason }), ...(errors ? { errors } : {}) };
  }
  if (report?.refused) return { gateway, outcome: "refused", reason: report.refused.reason };
  return { gateway, outcome: report?.trial?.version === version ? "trial" : "pending" };
}

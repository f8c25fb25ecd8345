import * as z from "zod";
import { TidegateError } from "../../base/errors.ts";
import { bytesDown } from "../../coordinator/base-blobs.ts";
import type { Coordinator } from "../../coordinator/coordinator.ts";
import type { CoordinatorStore } from "../../coordinator/coordinator-store.ts";
import type { ModelRounds } from "../../coordinator/model-rounds.ts";
import { rolloutRuleSchema } from "../../coordinator/rollout-plan.ts";
import { fingerprint } from "../../crypto/signing.ts";
import { openBundle } from "../../inference/bundle.ts";
import type { ControlHandler } from "../../ops/control-server.ts";
import { releaseVersion, type VersionReleases } from "./version-release.ts";

const gatewayId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, "must be 1 to 64 letters, digits, _ or -");
const modelQuery = z.object({ model: z.string().optional() });
const startQuery = modelQuery.extend({ rounds: z.int().min(-1).max(1_000_000), from: z.int().positive().optional() });
const historyQuery = modelQuery.extend({ limit: z.int().positive().max(10_000).default(50) });
const modelNameQuery = z.object({ model: z.string().min(1) });
const rolloutQuery = rolloutRuleSchema.partial().extend({
  dir: z.string().min(1),
  parents: z.array(z.string().min(1)).max(8).default([]),
  above: z.int().nonnegative().default(0),
  isForced: z.boolean().default(false),
});
const releaseQuery = modelQuery.extend({ version: z.int().positive().optional(), out: z.string().min(1).optional() });
const enrolQuery = z.object({ gateway: gatewayId, key: z.base64().optional() });
const tokenQuery = z.object({ gateway: gatewayId.nullable(), expiresMs: z.int().positive() });
const removeQuery = z.object({ gateway: gatewayId });

/**
 * What a verb may ask a running coordinator, by method. What changes something is done in line with what gateways send;
 * to look needs no broker.
 *
 * @param releases  where versions that were learned become bundles
 */
export function fleetHandlers(
  coordinator: Coordinator,
  store: CoordinatorStore,
  releases: VersionReleases,
  now: () => number,
): Record<string, ControlHandler> {
  const { enrolments, models } = coordinator;
  const modelOf = ({ model }: { model?: string | undefined }): ModelRounds => {
    const named = model ?? (models.size === 1 ? [...models.keys()][0] : undefined);
    const found = named === undefined ? undefined : models.get(named);
    if (found) return found;
    const known = [...models.keys()].join(", ");
    throw new TidegateError("ROUND_ABSENT", {
      what: named === undefined ? `model named (there are ${known})` : `model ${named}`,
    });
  };
  const atOnce =
    <T>(schema: z.ZodType<T>, work: (query: T) => Promise<unknown>): ControlHandler =>
    async (params) => {
      const parsed = schema.safeParse(params);
      if (!parsed.success) throw new TidegateError("USAGE", { detail: z.prettifyError(parsed.error) });
      return work(parsed.data);
    };
  const inLine = <T>(schema: z.ZodType<T>, work: (query: T) => Promise<unknown>): ControlHandler =>
    atOnce(schema, (query) => coordinator.run(() => work(query)));
  return {
    "fleet.status": atOnce(z.object({}), () => fleetStatus(coordinator, store)),
    "fleet.rounds.start": inLine(startQuery, async (query) => {
      const rounds = modelOf(query);
      await rounds.startRounds(query.rounds, query.from);
      return roundLine(rounds, store);
    }),
    "fleet.rounds.stop": inLine(modelQuery, async (query) => ({
      model: modelOf(query).name,
      ...(await modelOf(query).stopRounds()),
    })),
    "fleet.rounds.history": atOnce(historyQuery, async (query) => {
      const { name } = modelOf(query);
      const history = await store.history(name, query.limit);
      return {
        model: name,
        rounds: history.toReversed().map(({ document, model: _model, ...round }) => ({
          ...round,
          base: document.base.version,
          mode: document.mode,
          denseBytes: round.accepted * document.base.length * 4,
          denseDown: document.base.length * 4,
          bytesDown: bytesDown(document.base.sources),
        })),
      };
    }),
    "fleet.release": atOnce(releaseQuery, (query) =>
      releaseVersion(releases, modelOf(query).name, query.version, query.out),
    ),
    "fleet.rollout.start": inLine(rolloutQuery, async ({ dir, parents, above, isForced, ...rule }) => {
      leads(coordinator);
      const bundle = await openBundle(dir);
      const older = await Promise.all(parents.map((parent) => openBundle(parent)));
      return coordinator.rollouts.start(bundle, older, rolloutRuleSchema.parse(rule), above, isForced);
    }),
    "fleet.rollout.halt": inLine(modelNameQuery, async ({ model }) => {
      leads(coordinator);
      return coordinator.rollouts.halt(model, "an operator halted it");
    }),
    "fleet.rollout.resume": inLine(modelNameQuery, async ({ model }) => {
      leads(coordinator);
      return coordinator.rollouts.resume(model);
    }),
    "fleet.enroll": inLine(enrolQuery, ({ gateway, key }) =>
      enrolments.enrol(gateway, key === undefined ? undefined : keyOf(key, gateway), now()),
    ),
    "fleet.token": inLine(tokenQuery, async ({ gateway, expiresMs }) => {
      const expiresAt = now() + expiresMs;
      return { token: await enrolments.newToken(gateway, expiresAt), gateway, expiresAt };
    }),
    "fleet.remove": inLine(removeQuery, async ({ gateway }) => {
      await enrolments.remove(gateway, now());
      coordinator.rollouts.forget(gateway);
      return { gateway };
    }),
  };
}

/** @throws TidegateError COORDINATOR_IDLE: another leads, or the broker is away */
function leads({ state }: Coordinator): void {
  if (state.role !== "leading") throw new TidegateError("COORDINATOR_IDLE", { role: state.role });
}

function keyOf(text: string, gateway: string): Uint8Array {
  const key = new Uint8Array(Buffer.from(text, "base64"));
  if (key.length === 32) return key;
  throw new TidegateError("ENROLMENT_REFUSED", { gateway, reason: "the key is not 32 bytes in base64" });
}

async function roundLine(rounds: ModelRounds, store: CoordinatorStore) {
  const { current, name, isOverdue } = rounds;
  const version = await store.version(name);
  return {
    model: name,
    version: version?.version ?? null,
    hash: version?.hash ?? null,
    round: current?.round ?? null,
    state: current?.state ?? null,
    accepted: current?.accepted ?? 0,
    quorum: current?.document.quorum ?? null,
    isOverdue,
    remaining: await store.remaining(name),
  };
}

async function fleetStatus(coordinator: Coordinator, store: CoordinatorStore) {
  const { enrolments, models, intake, state } = coordinator;
  const requests = await store.requests();
  const lines: Awaited<ReturnType<typeof roundLine>>[] = [];
  for (const rounds of models.values()) lines.push(await roundLine(rounds, store));
  return {
    ...state,
    members: enrolments.all.map(({ gateway, key, since, removedAt }) => ({
      gateway,
      key: fingerprint(key),
      since,
      removedAt,
      lastSeen: coordinator.lastSeen(gateway),
    })),
    requests: requests.map(({ gateway, key, at }) => ({ gateway, key: fingerprint(key), at })),
    models: lines,
    rollouts: coordinator.rollouts.state,
    updates: { ...intake.counters, overflow: coordinator.overflow, waiting: intake.waiting, refused: intake.refused },
  };
}

export type FleetStatus = Awaited<ReturnType<typeof fleetStatus>>;

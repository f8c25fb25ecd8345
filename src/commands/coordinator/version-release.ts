import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { stringify } from "yaml";
import { systemClock } from "../../base/clock.ts";
import { syncFolder, writeDurably } from "../../base/durable-file.ts";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import { modelOfVersion } from "../../coordinator/bundle-weights.ts";
import type { CoordinatorStore, ModelVersion } from "../../coordinator/coordinator-store.ts";
import { type Bundle, openBundle } from "../../inference/bundle.ts";
import { parseSample, retellGolden } from "../../inference/golden.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { encodeModel } from "../../onnx/model-file.ts";

/** A version that rounds have led to, as a bundle that can be rolled out. */
export type VersionRelease = {
  readonly model: string;
  readonly version: number;
  /** The bundle, and that which the fleet began with: gateways that have it fetch the difference. */
  readonly dir: string;
  readonly parent: string;
  readonly hash: string;
};

export type VersionReleases = {
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly store: Pick<CoordinatorStore, "version">;
  /** Where bundles go for which no folder is named. */
  readonly dir: string;
};

const fileMode = 0o640;
const validated = "validation.";

/**
 * Writes a version of a model as a bundle. The same version gives the same bytes.
 * @param version  absent: the newest
 * @param out  a folder that is not there yet, or empty; absent: one of the coordinator's own, made anew
 * @throws TidegateError ROUND_ABSENT, USAGE, GOLDEN_FAILED when a sample that is to raise an alarm raises none any more
 */
export async function releaseVersion(
  { bundles, store, dir: own }: VersionReleases,
  model: string,
  version: number | undefined,
  out: string | undefined,
): Promise<VersionRelease> {
  const bundle = bundles.get(model);
  if (!bundle) throw new TidegateError("ROUND_ABSENT", { what: `model ${model}` });
  const learned = await store.version(model, version);
  if (!learned) throw new TidegateError("ROUND_ABSENT", { what: `version ${version ?? ""} of ${model} any more` });
  if (learned.version <= bundle.card.version)
    throw new TidegateError("USAGE", { detail: `version ${learned.version} of ${model} is the one it began with` });
  const dir = out === undefined ? join(own, model, String(learned.version)) : resolve(out);
  if (out !== undefined && existsSync(dir) && (await readdir(dir)).length > 0)
    throw new TidegateError("USAGE", { detail: `${dir} is not empty` });
  const draft = `${dir}.draft`;
  try {
    await writeVersion(draft, bundle, learned);
    await settleGolden(draft, bundle);
    await rm(dir, { recursive: true, force: true });
    await rename(draft, dir);
    await syncFolder(dirname(dir));
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  const { hash } = await openBundle(dir);
  return { model, version: learned.version, dir, parent: bundle.dir, hash };
}

async function writeVersion(dir: string, bundle: Bundle, learned: ModelVersion): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const { card, golden } = bundle;
  await writeDurably(join(dir, "model.onnx"), encodeModel(await modelOfVersion(bundle, learned)), fileMode);
  const all = Object.entries(learned.metrics);
  const metrics = all.flatMap(([name, value]) =>
    name.startsWith(validated) ? [[name.slice(validated.length), value] as const] : [],
  );
  const changed = {
    ...card,
    version: learned.version,
    parent: bundle.hash,
    metrics: Object.fromEntries(metrics),
    training: {
      method: "learned by a fleet in rounds; each gateway on its own readings",
      at: new Date(learned.at).toISOString(),
      of: { name: card.name, version: card.version },
      weights: learned.hash,
      // Gateways measure the base of a round on what they hold back: the version before this one.
      reported: Object.fromEntries(all.filter(([name]) => !name.startsWith(validated))),
      normalisation: Object.keys(learned.tensors),
    },
  };
  await writeDurably(join(dir, "card.yaml"), stringify(changed, { lineWidth: 118 }), fileMode);
  if (golden !== "") await writeDurably(join(dir, card.golden), golden, fileMode);
}

/** Lets the golden samples ask for what the new weights give. What raised an alarm has to raise it still. */
async function settleGolden(dir: string, parent: Bundle): Promise<void> {
  const { card, golden, name } = parent;
  if (golden === "") return;
  const host = new ModelHost({ clock: systemClock, log: silentLog });
  try {
    await host.start(new AbortController().signal);
    const told = await retellGolden(await host.load(await openBundle(dir)), host);
    const before = alarmsIn(golden);
    const after = alarmsIn(told);
    const missed = before.flatMap((isAlarm, index) => (isAlarm && !after[index] ? [index + 1] : []));
    if (missed.length > 0) {
      const reason = `golden sample ${missed.join(", ")} raises no alarm any more`;
      throw new TidegateError("GOLDEN_FAILED", { model: name, faults: [reason], reason });
    }
    await writeDurably(join(dir, card.golden), told, fileMode);
  } finally {
    await host.stop(5_000);
  }
}

const alarmsIn = (golden: string): boolean[] =>
  golden
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => parseSample(line).verdict === "alarm");

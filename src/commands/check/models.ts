import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { Config } from "../../config/config.ts";
import { transformedFields } from "../../gateway/streams.ts";
import { bindStream } from "../../inference/binding.ts";
import { verifyBundle } from "../../inference/golden.ts";
import { ModelHost } from "../../inference/model-host.ts";
import { Registry } from "../../inference/registry.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** Loads each model that a stream uses, binds it to the stream and runs its golden samples. */
export async function checkModels({ streams, models, gateway }: Config, signal: AbortSignal): Promise<Finding[]> {
  const uses = Object.entries(streams).flatMap(([name, stream]) =>
    stream.model === undefined ? [] : [{ name, stream, model: stream.model }],
  );
  if (uses.length === 0) return [ok("models", "no stream has a model: readings are stored and forwarded")];
  const registry = new Registry({ dirs: [join(gateway.dataDir, "models"), models.dir] });
  const { threads, maxBatch, providers } = models;
  const host = new ModelHost({ clock: systemClock, log: silentLog, threads, maxBatch, providers });
  try {
    await host.start(signal);
  } catch (thrown) {
    const remedy = "Look whether the package is whole (`npm ci`) and made for this processor.";
    return [{ name: "models", level: "fail", detail: `the model process does not run: ${reasonOf(thrown)}`, remedy }];
  }
  try {
    const findings: Finding[] = [];
    for (const model of new Set(uses.map((use) => use.model))) {
      const streamsOfIt = uses.filter((use) => use.model === model);
      findings.push(await checkModel(model, streamsOfIt, registry, host));
    }
    return findings;
  } finally {
    await host.stop(2_000);
  }
}

type Use = { readonly name: string; readonly stream: Config["streams"][string] };

async function checkModel(model: string, uses: readonly Use[], registry: Registry, host: ModelHost): Promise<Finding> {
  const name = `model ${model}`;
  try {
    const bundle = await registry.open(model);
    for (const { name: stream, stream: config } of uses)
      bindStream(bundle.card, stream, transformedFields(config), { size: config.window?.size, everyMs: config.every });
    const { samples, faults } = await verifyBundle(bundle, host);
    if (faults.length > 0) throw new TidegateError("GOLDEN_FAILED", { model, faults, reason: faults.join("; ") });
    const what = `version ${bundle.card.version} for ${uses.map((use) => use.name).join(", ")}`;
    if (samples === 0)
      return warn(
        name,
        `${what}: it loads, but has no golden samples`,
        "Add golden.ndjson to the bundle, so that a wrong result is seen here.",
      );
    return ok(name, `${what}: ${samples} golden samples come out as they must`);
  } catch (thrown) {
    return fail(name, thrown);
  }
}

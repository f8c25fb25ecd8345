import { modelOfVersion } from "../../coordinator/bundle-weights.ts";
import type { ModelVersion } from "../../coordinator/coordinator-store.ts";
import type { FleetSettings } from "../../coordinator/fleet-settings.ts";
import type { Bundle } from "../../inference/bundle.ts";
import type { DataSet } from "../../train/data-set.ts";
import { evaluate } from "../../train/evaluate.ts";
import { dataFromFiles } from "../model/training-data.ts";

/** Metrics of a new version on examples that the coordinator has; none for a model without any. */
export type Validation = (version: ModelVersion) => Promise<Record<string, number>>;

/**
 * Measures versions on the files that the settings name, by the card's task. It is put together here, since it takes what
 * trains models, and a coordinator does not train.
 * @throws TidegateError FILE_UNREADABLE, RECORDING_INVALID, DATA_UNUSABLE
 */
export async function openValidation(
  models: FleetSettings["models"],
  bundles: ReadonlyMap<string, Bundle>,
): Promise<Validation> {
  const sets = new Map<string, DataSet>();
  for (const [name, bundle] of bundles) {
    const files = models[name]?.validation;
    if (!files) continue;
    const { data, time, source, event } = files;
    const columns = Object.entries({ time, source, event }).filter(([, column]) => column !== undefined);
    sets.set(name, await dataFromFiles(bundle.card, { data, ...Object.fromEntries(columns), seed: 1 }));
  }
  return async (version) => {
    const data = sets.get(version.model);
    const bundle = bundles.get(version.model);
    if (!data || !bundle) return {};
    const { metrics } = await evaluate(await modelOfVersion(bundle, version), bundle.card, data, examplesOf(data));
    return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`validation.${name}`, value]));
  };
}

/** The official test set where there is one, else all. */
const examplesOf = ({ fixedTest, first }: DataSet): Int32Array => fixedTest ?? first.map((_, example) => example);

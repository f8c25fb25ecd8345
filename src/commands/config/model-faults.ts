import { readFileSync } from "node:fs";
import { join } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { TidegateError } from "../../base/errors.ts";
import { configInvalid, type Fault, FaultFinder } from "../../config/fault.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { transformedFields } from "../../gateway/streams.ts";
import { bindStream } from "../../inference/binding.ts";
import { Registry } from "../../inference/registry.ts";

/**
 * What only the models can tell: that a stream's model is there, opens, and fits the stream.
 * @throws TidegateError CONFIG_INVALID with every fault
 */
export async function modelFaults(loaded: LoadedConfig): Promise<void> {
  const faults = await findModelFaults(loaded, readFileSync(loaded.file, "utf8"));
  if (faults.length > 0) throw configInvalid(loaded.file, faults);
}

/** The same as a list. @param text  the configuration's, to tell where each stands */
export async function findModelFaults({ config }: LoadedConfig, text: string): Promise<Fault[]> {
  const registry = new Registry({ dirs: [join(config.gateway.dataDir, "models"), config.models.dir] });
  const lines = new LineCounter();
  const finder = new FaultFinder(parseDocument(text, { lineCounter: lines }), lines, new Map());
  const faults: Fault[] = [];
  for (const [name, stream] of Object.entries(config.streams)) {
    if (stream.model === undefined) continue;
    try {
      const { card } = await registry.open(stream.model);
      bindStream(card, name, transformedFields(stream), { size: stream.window?.size, everyMs: stream.every });
    } catch (thrown) {
      if (!(thrown instanceof TidegateError)) throw thrown;
      faults.push(finder.at(["streams", name, "model"], { message: thrown.message }));
    }
  }
  return faults;
}

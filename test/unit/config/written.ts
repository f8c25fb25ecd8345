import { TidegateError } from "../../../src/base/errors.ts";
import type { Fault } from "../../../src/config/fault.ts";
import { type LoadedConfig, type LoadOptions, loadConfig } from "../../../src/config/load.ts";

/** The least that loads: two lines, so that what follows starts on line 3. */
export const base = "gateway: { id: gw-1, profile: generic-x64 }\nsensors: { url: mqtt://127.0.0.1 }\n";

export const load = (text: string, rest: LoadOptions = {}): LoadedConfig =>
  loadConfig({ text, baseDir: "/etc/tidegate", ...rest });

/** The faults of a configuration; empty when it has none. */
export function faultsOf(text: string, rest: LoadOptions = {}): readonly Fault[] {
  try {
    load(text, rest);
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code === "CONFIG_INVALID") return thrown.facts.faults as Fault[];
    throw thrown;
  }
  return [];
}

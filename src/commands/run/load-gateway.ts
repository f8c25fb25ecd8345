import { configInvalid } from "../../config/fault.ts";
import type { Tree } from "../../config/layers.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { egressErrors } from "../../control/overlay-rules.ts";
import { readPolicy } from "../../control/policy-text.ts";
import { loadFor } from "../load-configuration.ts";
import type { Io } from "../verb.ts";

/**
 * The configuration with its policy looked through: a gateway that runs is not stopped for one that has faults.
 *
 * @param remote  what came from afar; whoever signed it may let out more than the policy does, which is judged elsewhere
 * @throws TidegateError CONFIG_INVALID (also: a stream sends more than the policy lets out), POLICY_INVALID, FILE_UNREADABLE
 */
export function loadGateway(io: Io, options: { config?: string }, remote: Tree | null = null): LoadedConfig {
  const loaded = loadFor(io, options, {}, remote);
  const { policy: file } = loaded.config;
  const policy = file === undefined ? null : readPolicy(file);
  const errors = remote === null ? egressErrors(loaded.config, null, policy, []) : [];
  if (errors.length > 0) throw configInvalid(loaded.file, errors);
  return loaded;
}

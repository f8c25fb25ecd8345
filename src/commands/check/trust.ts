import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { anchorFile } from "../../control/anchor.ts";
import { readPolicy } from "../../control/policy-text.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { controlSocket } from "../run/control-socket.ts";
import { type Finding, fail, ok, warn } from "./finding.ts";

/** Who may change something from afar, and whether it would be taken. */
export async function checkTrust(loaded: LoadedConfig): Promise<Finding> {
  const name = "policy";
  const { policy: file, cloud, gateway } = loaded.config;
  if (file === undefined) return ok(name, "none: nothing is taken from afar");
  try {
    const { principals, rules } = readPolicy(file);
    const fault = (await unanchored(loaded)) ?? lostState(gateway.dataDir);
    const detail = `${file}: ${Object.keys(principals).length} principals, ${rules.length} rules`;
    if (fault)
      return warn(name, `${detail}; nothing is taken from afar: ${fault}`, "`tidegate audit anchor`, at the site.");
    if (!cloud)
      return warn(name, `${detail}; there is no cloud`, "Name the cloud's broker (`cloud.url`), or take `policy` out.");
    return ok(name, detail);
  } catch (thrown) {
    return fail(name, thrown);
  }
}

/** What the daemon says of it, when one runs that this user may ask. */
async function unanchored(loaded: LoadedConfig): Promise<string | null> {
  try {
    const client = await ControlClient.connect(controlSocket(loaded));
    try {
      return ((await client.call("status", {})) as { unanchored: string | null }).unanchored;
    } finally {
      client.close();
    }
  } catch (thrown) {
    if (thrown instanceof TidegateError && thrown.code.startsWith("CONTROL_")) return null;
    throw thrown;
  }
}

/** What shows without opening anything. */
function lostState(dataDir: string): string | null {
  const state = statSync(join(dataDir, "state.db"), { throwIfNoEntry: false });
  return existsSync(anchorFile(dataDir)) && (state?.size ?? 0) === 0 ? "state.db was lost" : null;
}

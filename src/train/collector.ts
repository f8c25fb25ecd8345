import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Gives what is to be called before each run of a trainer: it frees what nobody refers to any more. Each run gives weights and
 * slots in new memory, of which the engine lets 64 MB gather before it looks.
 */
export function collector(): () => void {
  // Behind a flag, since only a process with memory to count asks for it.
  setFlagsFromString("--expose-gc");
  const gc = runInNewContext("gc") as (options: { type: "minor" }) => void;
  return () => gc({ type: "minor" });
}

import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { TwinStore } from "../../src/control/twin-store.ts";
import { acknowledgedFile } from "../support/power-cut-work.ts";
import { twinRoot, twinStates } from "../support/twin-states.ts";

// node twin-writer.ts DIR FROM TO: writes these states of a twin, and says of each once it has been told to be durable.

const [, , dir = "", from = "0", to = "0"] = process.argv;
const store = new TwinStore(dir, twinRoot);
const said = openSync(join(dir, acknowledgedFile), "a");
for (let n = Number(from); n < Number(to); n++) {
  const state = twinStates[n];
  if (state) await store.save(state);
  writeSync(said, `${n}\n`);
}
closeSync(said);
process.kill(process.pid, "SIGKILL");

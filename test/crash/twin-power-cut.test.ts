import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { TwinStore } from "../../src/control/twin-store.ts";
import { Disk, fateNames, fates } from "../support/power-cut-disk.ts";
import { compileShim, compilerMissing as reason, recordRuns } from "../support/power-cut-recorder.ts";
import { layOut } from "../support/power-cut-replay.ts";
import { readTrace, type TraceEvent } from "../support/power-cut-trace.ts";
import { acknowledgedFile } from "../support/power-cut-work.ts";
import { twinRoot, twinStates } from "../support/twin-states.ts";

// Invariant: wherever the power is cut, what a gateway finds of its configuration from afar is word for word the state
// that was acknowledged last or the one that was being written, and never a damaged one. Medium, shim and fates are those
// of the journal's test; here every call is a place of a cut, with every fate.

const script = resolve(import.meta.dirname, "twin-writer.ts");
const texts = twinStates.map((state) => JSON.stringify(state));
const shim = compileShim();
if (!shim) {
  if (process.env.REQUIRE_REAL === "1") throw new Error(reason);
  console.log(`power cut of the twin: left out, ${reason}`);
}

describe.skipIf(!shim)(`a twin whose power is cut${shim ? "" : ` (${reason})`}`, () => {
  let events: TraceEvent[] = [];
  const clean: (() => void)[] = [];

  beforeAll(async () => {
    if (!shim) return;
    clean.push(shim.remove);
    const middle = 9;
    const words = [
      ["1", `${middle}`],
      [`${middle}`, `${texts.length}`],
    ];
    const recording = await recordRuns(
      shim,
      words.map((of) => ({ script, words: of, end: "kill" as const })),
    );
    clean.push(recording.remove);
    events = readTrace(recording.trace);
  });
  afterAll(() => {
    for (const remove of clean) remove();
  });

  /** Cuts after every call with every fate. @returns how many cuts, how many found the newer state, and what was wrong */
  function cutEverywhere(ignoresSync?: (name: string) => boolean) {
    const random = seededRandom(1);
    const disk = new Disk(ignoresSync);
    const faults: string[] = [];
    let [cuts, newer, acknowledged, handle] = [0, 0, 0, 0];
    events.forEach((event, at) => {
      disk.apply(event);
      if (event.kind === "begin") handle = 0;
      if (event.kind === "open" && event.name === acknowledgedFile) handle = event.handle;
      if (event.kind === "write" && event.handle === handle) acknowledged = Number(Buffer.from(event.bytes).toString());
      for (const fate of fateNames) {
        const { dir, remove } = layOut(disk.cut(fates[fate](random)));
        const { state, isDamaged } = new TwinStore(dir, twinRoot).load();
        remove();
        cuts++;
        const found = isDamaged ? -1 : texts.indexOf(JSON.stringify(state), acknowledged);
        if (found === acknowledged + 1) newer++;
        else if (found !== acknowledged)
          faults.push(`after ${at}, ${fate}: ${isDamaged ? "damaged" : texts.indexOf(JSON.stringify(state))}`);
      }
    });
    return { cuts, newer, faults };
  }

  it("is found as it was or as it was to be, after a cut at every write", () => {
    const { cuts, newer, faults } = cutEverywhere();
    console.log(`power cut of the twin: ${cuts} cuts, ${newer} found the newer state, ${faults.length} something else`);
    expect(faults).toEqual([]);
    expect(cuts).toBeGreaterThan(900);
    expect(newer).toBeGreaterThan(20);
  });

  it.each([
    ["of the file", (name: string) => name.startsWith("twin.sealed")],
    ["of the folder", (name: string) => name === ""],
  ])("would not, were the syncs %s in vain", (_, ignoresSync) => {
    expect(cutEverywhere(ignoresSync).faults.length).toBeGreaterThan(0);
  });
});

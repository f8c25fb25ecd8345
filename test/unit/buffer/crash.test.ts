import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { Database } from "../../../src/drivers/sqlite.ts";
import { closeStore, frameAt, newFolder, openStore, readAll, sequence, stream } from "./store-fixture.ts";

const writer = fileURLToPath(new URL("./crash-writer.ts", import.meta.url));

/** Lets a writer work on `dir` and kills it. @returns up to which sequence number it said that all is durable */
async function writeAndKill(dir: string, seed: number, afterMs: number): Promise<number> {
  const child = spawn(process.execPath, [writer, dir, `${seed}`], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (text: Buffer) => {
    said += text;
  });
  await once(child.stdout, "data");
  setTimeout(() => child.kill("SIGKILL"), afterMs);
  const [, signal] = await once(child, "close");
  expect(signal).toBe("SIGKILL");
  return Number(said.slice(0, said.lastIndexOf("\n")).split("\n").at(-1));
}

describe("a writer that is killed", () => {
  // Invariant: what a commit said to be durable is there, once, with what was committed beside it; nothing is half there.
  it("has lost nothing that it said was durable, wherever it was killed", async () => {
    const dir = newFolder();
    const random = seededRandom(11);
    for (let kill = 0; kill < 6; kill++) {
      const durable = await writeAndKill(dir, kill * 7 + 1, random() * 150);
      const db = new Database(join(dir, "buffer.db"));
      expect(db.pragma("integrity_check")).toBe("ok");
      db.close();
      const store = openStore({ dir });
      const { next, cursors } = store.stateOf(stream);
      expect(next).toBeGreaterThanOrEqual(durable);
      const values = frameAt(0, next).values[0] ?? [];
      expect(readAll(store)).toEqual(sequence(0, next).map((n) => [n, values[n]]));
      // The last item of the outbox and the cursor are those of the last commit.
      const owed = store.outboxAfter("rest", 0, 1e6, 1e9);
      expect(owed.map(({ n }) => n)).toEqual(sequence(1, owed.length + 1));
      const last = JSON.parse(Buffer.from(owed.at(-1)?.body ?? []).toString("utf8"));
      expect(last).toEqual({ next: cursors.inferred });
      const { readings, tails, blocks } = store.stats().streams[stream] ?? {};
      expect(readings).toBe(next);
      expect((tails ?? 0) + (blocks ?? 0)).toBeGreaterThan(0);
      closeStore(store);
    }
  });
});

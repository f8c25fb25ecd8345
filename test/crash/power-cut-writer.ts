import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { TidegateError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { Journal } from "../../src/buffer/journal.ts";
import {
  type Acknowledged,
  acknowledgedFile,
  commitOfRound,
  nextAfter,
  receiptItems,
  stateName,
  storeOptions,
} from "../support/power-cut-work.ts";
import { stream } from "../unit/buffer/store-values.ts";

// One life of a journal: node power-cut-writer.ts DIR FULL|OFF UP-TO-ROUND kill|close. It goes on where the last one
// ended, and writes down what it was told to be durable once it has been told.

const [, , dir = "", synchronous = "FULL", upTo = "0", end = "kill"] = process.argv;
const journal = new Journal({ ...storeOptions(dir, synchronous as "FULL" | "OFF"), log: silentLog });
await journal.start(new AbortController().signal);

let { next } = await journal.stateOf(stream);
let round = 0;
while (nextAfter(round) < next) round++;
const [oldest] = await journal.outboxAfter("rest", 0, 1, 2 ** 20);
const roundOf = (body: Uint8Array): number => JSON.parse(Buffer.from(body).toString("utf8")).round;
const value = Number(Buffer.from((await journal.stateGet(stateName)) ?? []).toString("utf8"));
let acknowledged: Acknowledged = { rounds: round, receipt: oldest ? roundOf(oldest.body) - 1 : 0, value };

const said = openSync(join(dir, acknowledgedFile), "a");
const acknowledge = (more: Partial<Acknowledged>): void => {
  acknowledged = { ...acknowledged, ...more };
  writeSync(said, `${JSON.stringify(acknowledged)}\n`);
};

/** As the gateway does: what the disk did not take is tried again, as it was. */
async function persist<T>(work: () => Promise<T>): Promise<T> {
  for (;;)
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof TidegateError && thrown.code === "STORAGE_FAILED")) throw thrown;
      await pause(20);
    }
}

while (round < Number(upTo)) {
  const commit = commitOfRound(++round);
  await persist(() => journal.commit(commit));
  acknowledge({ rounds: round });
  next += commit.frames[0]?.count ?? 0;
  if (round % 6 === 0) {
    await persist(() => journal.statePut(stateName, Buffer.from(`${round}`)));
    acknowledge({ value: round });
  }
  if (round % 11 === 0) {
    const last = (await persist(() => journal.outboxAfter("rest", 0, receiptItems, 2 ** 20))).at(-1);
    if (last) {
      await persist(() => journal.outboxReceipt("rest", last.n));
      acknowledge({ receipt: roundOf(last.body) });
    }
  }
  if (round % 13 === 0) await persist(() => journal.merge());
  if (round % 17 === 0) await persist(() => journal.retain());
  // Not among the large snapshots: there the log shall fill up.
  if (round % 14 === 0 && (round <= 45 || round > 85)) await persist(() => journal.checkpoint());
}
closeSync(said);
// Killed, the log stays as it is for the next life to recover; closed, it is moved into the file and removed.
if (end === "kill") process.kill(process.pid, "SIGKILL");
await journal.stop(10_000);

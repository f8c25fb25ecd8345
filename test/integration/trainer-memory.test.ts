import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { trainInChild } from "../../src/train/trainer-child.ts";
import type { ReadingSlice } from "../../src/train/training-job.ts";
import { seriesJob, seriesReadings } from "../support/series.ts";

/** Trains on readings that come only once the process has no more memory than it has, and so much. */
async function trainWithin(extraBytes: number): Promise<unknown> {
  const started = Promise.withResolvers<void>();
  async function* late(): AsyncGenerator<ReadingSlice> {
    await started.promise;
    yield* seriesReadings(200_000, 5_000);
  }
  return trainInChild({
    job: seriesJob(),
    data: late(),
    signal: new AbortController().signal,
    niceness: 0,
    onStart: (pid) => {
      const kilobytes = Number(/VmSize:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
      const done = spawnSync("prlimit", ["--pid", `${pid}`, `--as=${kilobytes * 1024 + extraBytes}`]);
      if (done.status === 0) started.resolve();
      else started.reject(new Error(`prlimit: ${done.stderr}`));
    },
  });
}

// By how much room there is, another part comes short first; with 48 MB this training goes through.
test.each([0, 8, 24])("a trainer with %i MB to spare ends with what there is too little of", async (megabytes) => {
  await expect(trainWithin(megabytes * 2 ** 20)).rejects.toMatchObject({
    code: "TRAINER_ENDED",
    message: expect.stringMatching(/memory ran out/),
  });
});

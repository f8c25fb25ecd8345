import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { open, seal } from "../../../src/crypto/sealing.ts";
import { CheckpointFile } from "../../../src/train/checkpoint.ts";
import { type Circumstances, describeCpu, standingOf } from "../../../src/train/circumstances.ts";
import { firstState } from "../../../src/train/trainer-state.ts";
import { emptyFolder } from "../../support/started-host.ts";
import { smallCard } from "../../support/training.ts";

const circumstances = {
  model: "a".repeat(64),
  graph: "b".repeat(64),
  settings: smallCard().train,
  data: { from: "test", readings: 9, examples: 7, hash: "c".repeat(64), streams: [] },
  split: "d".repeat(64),
  engine: "tidegate 1",
  cpu: describeCpu(),
  threads: 1,
} as Circumstances;

const state = () => ({
  ...firstState(Float32Array.of(0.1, -2.5, 3e-30), 2, Float32Array.of(7)),
  epoch: 3,
  step: 2,
  lossSum: 0.1 + 0.2,
  best: { epoch: 2, loss: 1 / 3, weights: Float32Array.of(1, 2, 3), moments: Float32Array.of(4) },
  history: [{ epoch: 1, loss: 0.5, validationLoss: null, rate: 0.01 }],
});

const key = randomBytes(32);
const sealer = {
  seal: (plain: Uint8Array) => seal(plain, key),
  open: (sealed: Uint8Array) => open(sealed, key),
};

test.each([
  ["plain", undefined],
  ["sealed", sealer],
])("%s: what is read is what was written, to the bit", async (_name, with_) => {
  const dir = emptyFolder();
  const file = new CheckpointFile(join(dir, "deep", "m.checkpoint"), with_);
  expect(await file.read()).toBeUndefined();
  await file.write({ circumstances, state: state() });
  expect(await file.read()).toEqual({ circumstances, state: state() });
  expect(readdirSync(join(dir, "deep"))).toEqual(["m.checkpoint"]);
  expect(readFileSync(file.file).includes("tidegate 1")).toBe(with_ === undefined);
  await file.remove();
  expect(await file.read()).toBeUndefined();
});

test("one that was cut, changed, sealed with another key or is something else is told as such", async () => {
  const plain = new CheckpointFile(join(emptyFolder(), "m"));
  const sealed = new CheckpointFile(join(emptyFolder(), "m"), sealer);
  for (const file of [plain, sealed]) {
    await file.write({ circumstances, state: state() });
    const whole = readFileSync(file.file);
    for (const bytes of [whole.subarray(0, -1), whole.subarray(0, 9), changed(whole, 40), changed(whole, -1)]) {
      writeFileSync(file.file, bytes);
      await expect(file.read()).rejects.toMatchObject({ code: "CHECKPOINT_UNREADABLE" });
    }
    writeFileSync(file.file, "something else entirely");
    await expect(file.read()).rejects.toThrow(/no checkpoint/);
  }
  await sealed.write({ circumstances, state: state() });
  await expect(new CheckpointFile(sealed.file).read()).rejects.toThrow(/there is no key/);
  const other = { ...sealer, open: (bytes: Uint8Array) => open(bytes, randomBytes(32)) };
  await expect(new CheckpointFile(sealed.file, other).read()).rejects.toThrow(/another key/);
});

const changed = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
};

test.each([
  ["exact", {}, []],
  ["loose", { threads: 2 }, [/1 threads, not 2/]],
  ["loose", { engine: "tidegate 2", cpu: "another" }, [/tidegate 2/, /another/]],
  ["anew", { data: { ...circumstances.data, hash: "e".repeat(64), examples: 5 } }, [/2 of its 7 examples are gone/]],
  ["anew", { data: { ...circumstances.data, hash: "e".repeat(64), examples: 8 } }, [/has changed/]],
  ["other", { settings: { ...circumstances.settings, rate: 7 } }, [/another rate/]],
  ["other", { model: "f".repeat(64), threads: 3 }, [/another model/]],
])("a checkpoint is %s when %j differs", (standing, differing, reasons) => {
  const judged = standingOf(circumstances, { ...circumstances, ...differing });
  expect(judged.standing).toBe(standing);
  expect(judged.reasons).toHaveLength(reasons.length);
  for (const [index, reason] of reasons.entries()) expect(judged.reasons[index]).toMatch(reason);
});

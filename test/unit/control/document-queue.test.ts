import { expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { DocumentQueue } from "../../../src/control/document-queue.ts";

it("deals with documents in their order, past those that fail", async () => {
  const queue = new DocumentQueue("rounds", silentLog);
  const seen: number[] = [];
  const payload = new Uint8Array(1);
  for (const n of [1, 2, 3]) {
    payload[0] = n;
    void queue.add(payload, async ([first = 0]) => {
      await Promise.resolve();
      seen.push(first);
      if (first === 2) throw new Error("it cannot be read");
    });
  }
  await queue.done;
  expect(seen).toEqual([1, 2, 3]);
});

it.each([
  ["documents", 1, 256],
  ["bytes", 256 * 1024, 16],
])("lets no more %s wait than memory bears, and takes what comes once there is room", async (_, bytes, most) => {
  const queue = new DocumentQueue("rounds", silentLog);
  const gate = Promise.withResolvers<void>();
  let taken = 0;
  const work = async () => {
    await gate.promise;
    taken++;
  };
  for (let n = 0; n < 1_000; n++) void queue.add(new Uint8Array(bytes), work);
  gate.resolve();
  await queue.done;
  expect(taken).toBe(most);
  await queue.add(new Uint8Array(bytes), work);
  expect(taken).toBe(most + 1);
});

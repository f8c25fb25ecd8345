import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pause } from "./gateway-process.ts";
import type { LoopDevice } from "./loop-device.ts";

/** Ways to make one block durable now and then: what any program that does so costs at least. */
export const floors = {
  "appended, fdatasync": { isAppended: true, sync: fdatasyncSync },
  "written over, fsync": { isAppended: false, sync: fsyncSync },
  "written over, fdatasync": { isAppended: false, sync: fdatasyncSync },
} as const;

const blockBytes = 4_096;
const fileBlocks = 128;

/** Writes a block to a device each `everyMs` for `seconds`. @returns bytes that the device wrote */
export async function floorOf(
  { dir, written }: LoopDevice,
  { isAppended, sync }: (typeof floors)[keyof typeof floors],
  everyMs: number,
  seconds: number,
): Promise<number> {
  const file = openSync(join(dir, "floor"), "w");
  try {
    if (!isAppended) writeSync(file, Buffer.alloc(fileBlocks * blockBytes));
    const before = written();
    const end = performance.now() + seconds * 1_000;
    for (let n = 0; performance.now() < end; n++) {
      const at = isAppended ? n : n % fileBlocks;
      writeSync(file, Buffer.alloc(blockBytes, n % 256), 0, blockBytes, at * blockBytes);
      sync(file);
      await pause(everyMs);
    }
    return written() - before;
  } finally {
    closeSync(file);
  }
}

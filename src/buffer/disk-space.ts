import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import type { Database } from "../drivers/sqlite.ts";
import { codeOf } from "./storage-fault.ts";

/** Enough for both databases' logs and indexes of them to be begun. */
const reserveBytes = 256 * 1024;

/** Takes a little space while there is some, to be given up when a journal has to be opened on a full disk. */
export function keepReserve(file: string): void {
  if (existsSync(file)) return;
  try {
    const handle = openSync(file, "w", 0o640);
    try {
      writeSync(handle, Buffer.alloc(reserveBytes));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch {
    // No space for it now: what was written of it goes back.
    rmSync(file, { force: true });
  }
}

/** @returns whether there was something to give up */
export function spendReserve(file: string): boolean {
  if (!existsSync(file)) return false;
  rmSync(file, { force: true });
  return true;
}

/** A full disk may not take what is in the log: then it stays there. */
export function tryCheckpoint(db: Database): void {
  try {
    db.checkpoint();
  } catch (thrown) {
    if (codeOf(thrown) !== "SQLITE_FULL") throw thrown;
  }
}

/** Gives free pages back to a disk that is short, in steps: each moves pages through the log, which takes room, too. */
export function giveBack(db: Database): void {
  for (let step = 0; step < 16 && db.sizes.free > 0; step++) {
    db.shrink(256);
    tryCheckpoint(db);
  }
}

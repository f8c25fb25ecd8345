import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";
import { Store, type StoreEvent, type StoreOptions } from "../../../src/buffer/store.ts";
import { root, setup, stream } from "./store-values.ts";

export * from "./store-values.ts";

const opened: Store[] = [];
const folders: string[] = [];

afterEach(() => {
  for (const store of opened.splice(0)) store.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-journal-"));
  folders.push(folder);
  return folder;
}

/** Opens a store that is closed after the test. Tests that need no plug to be pulled do without fsync. */
export function openStore(
  options: Partial<StoreOptions> & { dir: string },
  tell: (event: StoreEvent) => void = () => {},
): Store {
  const store = new Store(
    {
      storageRoot: root,
      streams: [setup()],
      limits: { maxBytes: 2 ** 30, minFree: { bytes: 0 } },
      blockReadings: 64,
      synchronous: "OFF",
      ...options,
    },
    tell,
  );
  opened.push(store);
  return store;
}

/** Closes a store before the end of its test. */
export function closeStore(store: Store): void {
  const at = opened.indexOf(store);
  if (at !== -1) opened.splice(at, 1);
  store.close();
}

/** Everything a store holds of a stream, slice by slice, as `[sequence, first value]`. */
export function readAll(store: Store, name = stream): [number, number][] {
  const rows: [number, number][] = [];
  let from = 0;
  for (;;) {
    const frames = store.read(name, { from, limit: 100 });
    if (frames.length === 0) return rows;
    for (const frame of frames)
      for (let i = 0; i < frame.count; i++) {
        rows.push([frame.first + i, frame.values[0]?.[i] ?? Number.NaN]);
        from = frame.first + i + 1;
      }
  }
}

export const sequence = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Merges until nothing is left to do. @returns readings merged */
export function mergeAll(store: Store): number {
  let merged = 0;
  for (;;) {
    const readings = store.mergeStep();
    if (readings === 0) return merged;
    merged += readings;
  }
}

import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Frame } from "../../../src/base/frame.ts";
import { closeStore, commitOf, frameAt, openStore, readAll, stream } from "./store-fixture.ts";

const MiB = 2 ** 20;
const disk = mkdtempSync(join(tmpdir(), "tidegate-disk-"));

function mount(...options: string[]): boolean {
  try {
    execFileSync("mount", [...options, disk], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const free = (): number => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};
const unmount = () => execFileSync("umount", [disk], { stdio: "pipe" });

// A disk of its own needs root; elsewhere these tests are named as left out.
const canMount = mount("-t", "tmpfs", "-o", "size=1m", "tmpfs");
if (canMount) unmount();
afterAll(() => rmdirSync(disk));

/** Pictures, 64 kB each: they do not compress. */
const pictures = (first: number, count: number): Frame => ({
  ...frameAt(first, count),
  payloads: Array.from({ length: count }, () => randomBytes(65_536)),
});

describe.skipIf(!canMount)("a disk that is full", () => {
  beforeAll(() => {
    mount("-t", "tmpfs", "-o", "size=32m", "tmpfs");
    return () => unmount();
  });

  it("keeps what has to stay free, at the cost of its oldest readings", () => {
    const dir = mkdtempSync(join(disk, "journal-"));
    const store = openStore({ dir, limits: { maxBytes: 100 * MiB, minFree: { bytes: 8 * MiB } } });
    let least = Number.POSITIVE_INFINITY;
    // 64 MiB through a disk of 32.
    for (let n = 0; n < 1_000; n += 2) {
      store.commit(commitOf([pictures(n, 2)]));
      if (n % 20 === 0) while (store.retain());
      least = Math.min(least, free());
    }
    const { readings = 0, dropped = {} } = store.stats().streams[stream] ?? {};
    expect(least).toBeGreaterThan(2 * MiB);
    expect(dropped.budget).toBeGreaterThan(500);
    expect(readings + (dropped.budget ?? 0)).toBe(1_000);
    const [[first] = [0]] = readAll(store);
    expect(first).toBe(dropped.budget);
    closeStore(store);
    rmSync(dir, { recursive: true });
  });

  it("refuses commits whole while another fills it, and takes them when there is room again", () => {
    const dir = mkdtempSync(join(disk, "journal-"));
    const store = openStore({ dir });
    store.commit(commitOf([frameAt(0, 100)]));
    store.checkpoint();
    const ballast = join(disk, "ballast");
    expect(() => writeFileSync(ballast, Buffer.alloc(33 * MiB))).toThrow("ENOSPC");
    const big = commitOf([pictures(100, 100)], {
      outbox: [{ lane: "rest", stream, kind: "result", body: Buffer.from("{}") }],
    });
    expect(() => store.commit(big)).toThrowError(expect.objectContaining({ code: "STORAGE_FAILED" }));
    expect(store.stateOf(stream).next).toBe(100);
    rmSync(ballast);
    store.commit(big);
    expect(store.stateOf(stream).next).toBe(200);
    expect(store.outboxAfter("rest", 0, 10, 1e6).map(({ n }) => n)).toEqual([1]);
    closeStore(store);
    rmSync(dir, { recursive: true });
  });

  it("can be opened while it is full", () => {
    const dir = mkdtempSync(join(disk, "journal-"));
    const before = openStore({ dir });
    before.commit(commitOf([frameAt(0, 100)]));
    closeStore(before);
    const ballast = join(disk, "ballast");
    expect(() => writeFileSync(ballast, Buffer.alloc(33 * MiB))).toThrow("ENOSPC");
    const store = openStore({ dir });
    expect(readAll(store)).toHaveLength(100);
    rmSync(ballast);
    store.commit(commitOf([frameAt(100, 10)]));
    expect(readAll(store)).toHaveLength(110);
    closeStore(store);
    rmSync(dir, { recursive: true });
  });
});

describe.skipIf(!canMount)("a disk that is read-only", () => {
  beforeAll(() => {
    mount("-t", "tmpfs", "-o", "size=32m", "tmpfs");
    return () => unmount();
  });

  it("is named when the journal is opened on it", () => {
    const dir = join(disk, "used");
    closeStore(openStore({ dir }));
    mount("-o", "remount,ro");
    try {
      expect(() => openStore({ dir })).toThrowError(
        expect.objectContaining({ code: "STORAGE_FAILED", exit: 74, message: expect.stringMatching(/read-only/i) }),
      );
    } finally {
      mount("-o", "remount,rw");
    }
    closeStore(openStore({ dir }));
  });
});

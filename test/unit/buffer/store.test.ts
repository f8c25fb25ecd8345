import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  closeStore,
  commitOf,
  fields,
  frameAt,
  mergeAll,
  newFolder,
  openStore,
  readAll,
  root,
  sequence,
  setup,
  stream,
} from "./store-fixture.ts";

const sequences = (rows: [number, number][]): number[] => rows.map(([n]) => n);

describe("the store", () => {
  it("gives back what was committed, before and after merging and after a restart", () => {
    const dir = newFolder();
    let store = openStore({ dir });
    const frames = [frameAt(0, 30), frameAt(30, 30), frameAt(60, 30), frameAt(90, 1)];
    for (const frame of frames) store.commit(commitOf([frame]));
    expect(store.read(stream, { limit: 1_000 })).toEqual(frames);
    const before = readAll(store);
    expect(mergeAll(store)).toBe(90);
    expect(readAll(store)).toEqual(before);
    closeStore(store);
    store = openStore({ dir });
    expect(readAll(store)).toEqual(before);
    expect(store.stats().streams[stream]).toMatchObject({ readings: 91, blocks: 1, tails: 1 });
  });

  it("reads slices by sequence number and by time", () => {
    const store = openStore({ dir: newFolder() });
    for (let n = 0; n < 200; n += 40) store.commit(commitOf([frameAt(n, 40)]));
    mergeAll(store);
    const slice = store.read(stream, { from: 35, to: 101, limit: 1_000 });
    expect(slice.flatMap((frame) => sequence(frame.first, frame.first + frame.count))).toEqual(sequence(35, 101));
    const at = 1_700_000_000_000 + 150 * 5_000;
    const late = store.read(stream, { fromTs: at, limit: 1_000 });
    const times = late.flatMap((frame) => [...frame.ts]);
    expect(times.filter((ts) => ts >= at)).toHaveLength(50);
    expect(store.read(stream, { fromTs: at + 1e9, limit: 10 })).toEqual([]);
  });

  it("keeps sources, cursors, sequence numbers, snapshots and what is owed over a restart", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    const body = Buffer.from('{"a":1}');
    before.commit(
      commitOf([frameAt(0, 5)], {
        sources: [{ stream, at: 0, sources: [{ mote: "a" }, { mote: "b" }] }],
        cursors: { [stream]: { inferred: 3 } },
        outbox: [
          { lane: "rest", stream, kind: "result", body },
          { lane: "alarm", stream, kind: "aggregate", body },
        ],
        snapshots: [{ stream, name: "path", sequence: 3, bytes: new Uint8Array([1, 2]) }],
        dropped: [{ stream, reason: "storage", n: 4 }],
      }),
    );
    before.statePut("incarnation", new Uint8Array([9]));
    closeStore(before);
    const store = openStore({ dir });
    expect(store.stateOf(stream)).toEqual({
      sources: [{ mote: "a" }, { mote: "b" }],
      next: 5,
      cursors: { inferred: 3, aggregated: 0, uplinked: 0 },
    });
    expect(store.snapshot(stream, "path")).toEqual({ sequence: 3, bytes: new Uint8Array([1, 2]) });
    expect(store.outboxAfter("rest", 0, 10, 1e6)).toMatchObject([{ n: 1, stream, kind: "result" }]);
    expect(store.outboxAfter("alarm", 0, 10, 1e6)).toMatchObject([{ n: 1, kind: "aggregate" }]);
    expect(store.stats().streams[stream]?.dropped).toEqual({ storage: 4 });
    expect(store.stateGet("incarnation")).toEqual(new Uint8Array([9]));
    expect(store.stateGet("absent")).toBeNull();
  });

  it("never moves a cursor back", () => {
    const store = openStore({ dir: newFolder() });
    store.commit(commitOf([frameAt(0, 5)], { cursors: { [stream]: { inferred: 4, uplinked: 2 } } }));
    store.commit(commitOf([], { cursors: { [stream]: { inferred: 1 } } }));
    expect(store.stateOf(stream).cursors).toEqual({ inferred: 4, aggregated: 0, uplinked: 2 });
  });

  it("stores all of a commit or nothing", () => {
    const store = openStore({ dir: newFolder() });
    store.commit(commitOf([frameAt(0, 5)]));
    const item = { lane: "rest", stream, kind: "result", body: Buffer.from("{}") } as const;
    // The second frame stands where the first one does: its insert fails after others have succeeded.
    const bad = commitOf([frameAt(5, 5), frameAt(5, 5)], {
      outbox: [item],
      cursors: { [stream]: { inferred: 9 } },
      sources: [{ stream, at: 0, sources: [{ mote: "a" }] }],
    });
    expect(() => store.commit(bad)).toThrowError(expect.objectContaining({ code: "STORAGE_FAILED" }));
    expect(store.stateOf(stream)).toEqual({
      sources: [],
      next: 5,
      cursors: { inferred: 0, aggregated: 0, uplinked: 0 },
    });
    expect(store.outboxAfter("rest", 0, 10, 1e6)).toEqual([]);
    store.commit(commitOf([frameAt(5, 5)], { outbox: [item] }));
    expect(store.outboxAfter("rest", 0, 10, 1e6).map(({ n }) => n)).toEqual([1]);
    expect(sequences(readAll(store))).toEqual(sequence(0, 10));
  });

  it("takes a commit for done that is tried again although it was stored", () => {
    const store = openStore({ dir: newFolder() });
    const item = { lane: "rest", stream, kind: "result", body: Buffer.from("{}") } as const;
    const commits = [commitOf([frameAt(0, 40)]), commitOf([frameAt(40, 40)], { outbox: [item] })];
    for (const commit of [...commits, ...commits]) store.commit(commit);
    mergeAll(store);
    for (const commit of commits) store.commit(commit);
    expect(sequences(readAll(store))).toEqual(sequence(0, 80));
    expect(store.stats().outbox.messages).toBe(1);
  });

  it("takes a gap in the sequence numbers: what was shed is not asked for again", () => {
    const store = openStore({ dir: newFolder() });
    store.commit(commitOf([frameAt(0, 70)]));
    store.commit(commitOf([frameAt(100, 20)]));
    store.commit(commitOf([frameAt(120, 50)]));
    mergeAll(store);
    expect(sequences(readAll(store))).toEqual([...sequence(0, 70), ...sequence(100, 170)]);
    expect(store.stateOf(stream).next).toBe(170);
  });

  it("never uses an outbox number twice, also when the lane has been emptied", () => {
    const dir = newFolder();
    const item = { lane: "rest", stream, kind: "result", body: Buffer.from("{}") } as const;
    const before = openStore({ dir });
    before.commit(commitOf([], { outbox: [item, item, item] }));
    expect(before.receipt("rest", 2)).toBe(2);
    expect(before.outboxAfter("rest", 0, 10, 1e6).map(({ n }) => n)).toEqual([3]);
    before.receipt("rest", 3);
    closeStore(before);
    const store = openStore({ dir });
    store.commit(commitOf([], { outbox: [item] }));
    expect(store.outboxAfter("rest", 0, 10, 1e6).map(({ n }) => n)).toEqual([4]);
  });

  it("hands out the outbox in bounded slices, at least one item at a time", () => {
    const store = openStore({ dir: newFolder() });
    const item = { lane: "alarm", stream, kind: "result", body: Buffer.alloc(1_000, 32) } as const;
    store.commit(commitOf([], { outbox: [item, item, item, item] }));
    expect(store.outboxAfter("alarm", 0, 3, 1e6)).toHaveLength(3);
    expect(store.outboxAfter("alarm", 1, 10, 2_500).map(({ n }) => n)).toEqual([2, 3]);
    expect(store.outboxAfter("alarm", 0, 10, 10)).toHaveLength(1);
  });

  it("reads old pieces with the fields of today", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    before.commit(commitOf([frameAt(0, 3)]));
    closeStore(before);
    const store = openStore({ dir, streams: [{ ...setup(), fields: ["pressure", fields[0] ?? ""] }] });
    const [old] = store.read(stream, { limit: 10 });
    expect(old?.fields).toEqual(["pressure", fields[0]]);
    expect(old?.values).toEqual([new Float64Array(3).fill(Number.NaN), frameAt(0, 3).values[0]]);
    const more = { ...frameAt(3, 3), fields: ["pressure", fields[0] ?? ""] };
    store.commit(commitOf([more]));
    expect(store.read(stream, { from: 3, limit: 10 })).toEqual([more]);
  });

  it("bounds dead letters: the newest stay", () => {
    const store = openStore({ dir: newFolder() });
    const letter = (n: number) => ({
      stream: null,
      topic: `t/${n}`,
      payload: new Uint8Array([n % 256]),
      size: 1,
      code: "TOPIC_UNKNOWN",
      reason: "no stream takes this topic",
      receivedAt: n,
    });
    store.commit(commitOf([], { dead: Array.from({ length: 1_100 }, (_, n) => letter(n)) }));
    expect(store.stats().deadLetters).toBe(1_000);
    const [newest, next] = store.dead(2);
    expect(newest).toMatchObject({ topic: "t/1099", payload: Buffer.from([1_099 % 256]) });
    expect(store.dead(1, newest?.id)).toEqual([next]);
    expect(store.removeDead([newest?.id ?? 0])).toBe(1);
    expect(store.dead(1)[0]?.topic).toBe("t/1098");
    store.removeDead("all");
    expect(store.dead(10)).toEqual([]);
  });

  it("writes over its log and lets it neither grow nor shrink, since that costs a card more than a commit does", () => {
    const dir = newFolder();
    const logBytes = () => statSync(join(dir, "buffer.db-wal")).size;
    const store = openStore({ dir, synchronous: "FULL" });
    for (let n = 0; n < 2_000; n += 20) {
      store.commit(commitOf([frameAt(n, 20)]));
      if (n % 200 === 0) mergeAll(store);
      if (n % 500 === 0) store.checkpoint();
      expect(logBytes()).toBe(512 * 1_024);
    }
    closeStore(store);
    openStore({ dir, limits: { maxBytes: 2 ** 20, minFree: { bytes: 0 } } });
    expect(logBytes()).toBe(16 * 1_024);
  });

  it("lets one daemon into a data directory, and the next one when it is gone", () => {
    const dir = newFolder();
    const first = openStore({ dir });
    expect(() => openStore({ dir })).toThrowError(expect.objectContaining({ code: "DATA_DIR_IN_USE", exit: 75 }));
    closeStore(first);
    openStore({ dir });
  });

  it("refuses a key that the data were not written with, and gives the directory free again", () => {
    const dir = newFolder();
    closeStore(openStore({ dir }));
    const wrong = { dir, storageRoot: new Uint8Array(32).fill(8) };
    expect(() => openStore(wrong)).toThrowError(expect.objectContaining({ code: "KEY_WRONG", exit: 78 }));
    openStore({ dir, storageRoot: root });
  });
});

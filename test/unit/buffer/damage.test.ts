import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { StoreEvent } from "../../../src/buffer/store.ts";
import { Database } from "../../../src/drivers/sqlite.ts";
import { closeStore, commitOf, frameAt, newFolder, openStore, readAll, sequence, stream } from "./store-fixture.ts";

const item = { lane: "rest", stream, kind: "result", body: Buffer.from("{}") } as const;

/** Changes a file behind the journal's back. */
function change(dir: string, sql: string): void {
  const db = new Database(join(dir, "buffer.db"));
  db.prepare(sql).run();
  db.close();
}

describe("damage", () => {
  it("a piece that does not open is set apart once, counted, and the rest is read and merged", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    for (let n = 0; n < 100; n += 20) before.commit(commitOf([frameAt(n, 20)]));
    closeStore(before);
    change(dir, "UPDATE piece SET body_sealed = zeroblob(90) WHERE id % 8796093022208 = 40");
    const events: StoreEvent[] = [];
    const store = openStore({ dir }, (event) => events.push(event));
    const rest = [...sequence(0, 40), ...sequence(60, 100)];
    expect(readAll(store).map(([n]) => n)).toEqual(rest);
    expect(readAll(store).map(([n]) => n)).toEqual(rest);
    expect(events).toMatchObject([{ event: "corrupt", stream, what: "piece", readings: 20 }]);
    expect(store.stats()).toMatchObject({ quarantined: 1, streams: { [stream]: { readings: 80, tails: 4 } } });
    expect(store.stats().streams[stream]?.dropped).toEqual({ corrupt: 20 });
    while (store.mergeStep() > 0);
    expect(readAll(store).map(([n]) => n)).toEqual(rest);
  });

  it("a piece that was moved or swapped does not open", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    before.commit(commitOf([frameAt(0, 20)]));
    before.commit(commitOf([frameAt(20, 20)]));
    closeStore(before);
    const other = "SELECT body_sealed FROM piece ORDER BY id DESC LIMIT 1";
    change(dir, `UPDATE piece SET body_sealed = (${other}) WHERE id = (SELECT min(id) FROM piece)`);
    const store = openStore({ dir });
    expect(readAll(store).map(([n]) => n)).toEqual(sequence(20, 40));
  });

  it.each(["count = 19", "count = 21", "from_ts = from_ts + 1", "to_ts = to_ts - 1"])(
    "a piece whose row was changed beside its body (%s) is set apart and counted",
    (what) => {
      const dir = newFolder();
      const before = openStore({ dir });
      before.commit(commitOf([frameAt(0, 20)]));
      before.commit(commitOf([frameAt(20, 20)]));
      closeStore(before);
      change(dir, `UPDATE piece SET ${what} WHERE id = (SELECT min(id) FROM piece)`);
      const store = openStore({ dir });
      expect(readAll(store).map(([n]) => n)).toEqual(sequence(20, 40));
      expect(store.stats().quarantined).toBe(1);
    },
  );

  it("an item of the outbox that does not open does not hold up its lane", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    before.commit(commitOf([], { outbox: [item, item, item] }));
    closeStore(before);
    change(dir, "UPDATE outbox SET body_sealed = zeroblob(50) WHERE n = 1");
    const events: StoreEvent[] = [];
    const store = openStore({ dir }, (event) => events.push(event));
    expect(store.outboxAfter("rest", 0, 10, 1e6).map(({ n }) => n)).toEqual([2, 3]);
    expect(events).toMatchObject([{ event: "corrupt", stream, what: "outbox" }]);
    expect(store.stats().outbox.messages).toBe(2);
  });

  it("what begins after a file was set aside has numbers that were not used before", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    before.commit(commitOf([frameAt(0, 20)], { outbox: [item, item, item] }));
    closeStore(before);
    const file = openSync(join(dir, "buffer.db"), "r+");
    writeSync(file, Buffer.alloc(4_096, 0x55), 0, 4_096, 0);
    closeSync(file);
    const store = openStore({ dir });
    const { next, cursors } = store.stateOf(stream);
    expect(next).toBeGreaterThan(20);
    expect(cursors).toEqual({ inferred: next, aggregated: next, uplinked: next });
    store.commit(commitOf([frameAt(next, 5)], { outbox: [item] }));
    expect(store.receipt("rest", 3)).toBe(0);
    expect(store.outboxAfter("rest", 3, 10, 1e6)).toHaveLength(1);
    expect(readAll(store).map(([n]) => n)).toEqual(sequence(next, next + 5));
    expect(store.stats().asideBytes).toBeGreaterThan(0);
  });

  it("goes on in a new file when the old one breaks while it is at work: numbers and sources go on", () => {
    const dir = newFolder();
    const events: StoreEvent[] = [];
    const before = openStore({ dir });
    const sources = [{ stream, at: 0, sources: [{ mote: "a" }] }];
    for (let n = 0; n < 4_000; n += 100)
      before.commit(commitOf([frameAt(n, 100)], { sources: n === 0 ? sources : [], outbox: [item] }));
    closeStore(before);
    const { size } = statSync(join(dir, "buffer.db"));
    const file = openSync(join(dir, "buffer.db"), "r+");
    // Everything but the schema, the names and the last page, where a commit would notice.
    for (let at = 20 * 1_024; at < size; at += 1_024) writeSync(file, Buffer.alloc(1_024, 0xaa), 0, 1_024, at);
    closeSync(file);
    const store = openStore({ dir }, (event) => events.push(event));
    store.commit(commitOf([frameAt(4_000, 100)], { outbox: [item], cursors: { [stream]: { inferred: 4_050 } } }));
    readAll(store);
    expect(events.some(({ event }) => event === "set-aside")).toBe(true);
    expect(store.stateOf(stream)).toEqual({
      sources: [{ mote: "a" }],
      next: 4_100,
      cursors: { inferred: 4_050, aggregated: 0, uplinked: 0 },
    });
    store.commit(commitOf([frameAt(4_100, 10)], { outbox: [item] }));
    expect(readAll(store).map(([n]) => n)).toEqual(expect.arrayContaining(sequence(4_100, 4_110)));
    expect(store.outboxAfter("rest", 40, 10, 1e6).at(-1)?.n).toBe(42);
    expect(store.stats().streams[stream]?.dropped.corrupt).toBeGreaterThanOrEqual(4_000);
    closeStore(store);
    expect(openStore({ dir }).stateOf(stream).next).toBe(4_110);
  });

  it("sets readings aside whose keys are gone with state.db", () => {
    const dir = newFolder();
    const before = openStore({ dir });
    before.commit(commitOf([frameAt(0, 20)]));
    closeStore(before);
    rmSync(join(dir, "state.db"));
    const events: StoreEvent[] = [];
    const store = openStore({ dir }, (event) => events.push(event));
    expect(events).toMatchObject([{ event: "set-aside", isKept: true }]);
    expect(readAll(store)).toEqual([]);
    store.commit(commitOf([frameAt(0, 20)]));
    expect(readAll(store)).toHaveLength(20);
  });

  it("never sets state.db aside", () => {
    const dir = newFolder();
    closeStore(openStore({ dir }));
    const bytes = readFileSync(join(dir, "state.db"));
    const file = openSync(join(dir, "state.db"), "r+");
    writeSync(file, Buffer.alloc(bytes.length, 0x55), 0, bytes.length, 0);
    closeSync(file);
    expect(() => openStore({ dir })).toThrowError(expect.objectContaining({ code: "STORAGE_UNREADABLE", exit: 74 }));
    expect(statSync(join(dir, "state.db")).size).toBe(bytes.length);
    expect(existsSync(join(dir, "state.db.aside"))).toBe(false);
  });
});

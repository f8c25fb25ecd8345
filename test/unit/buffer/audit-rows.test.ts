import { join } from "node:path";
import Sqlite from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { AuditRows } from "../../../src/buffer/audit-rows.ts";
import { StateFile } from "../../../src/buffer/state-file.ts";
import { deriveKey } from "../../../src/crypto/sealing.ts";
import { newFolder } from "./store-fixture.ts";

const keyOf = (name: string) => deriveKey(new Uint8Array(32).fill(7), name);

function open(dir: string, maxEntries?: number) {
  const state = new StateFile(join(dir, "state.db"), "OFF");
  return { rows: new AuditRows(state, keyOf, maxEntries), close: () => state.close() };
}

function written(entries: number, maxEntries?: number): string {
  const dir = newFolder();
  const { rows, close } = open(dir, maxEntries);
  for (let n = 1; n <= entries; n++) rows.append(Buffer.from(`entry ${n}`));
  close();
  return dir;
}

/** What a check finds after somebody has been at the file. */
function checkedAfter(dir: string, meddle: (db: Sqlite.Database) => void) {
  const db = new Sqlite(join(dir, "state.db"));
  meddle(db);
  db.close();
  const { rows, close } = open(dir);
  let slice = rows.check(null);
  while (!slice.isEnd) slice = rows.check(slice.at);
  close();
  return slice;
}

const flip = (column: "hash" | "body_sealed", n: number) => (db: Sqlite.Database) => {
  const row = db.prepare(`SELECT ${column} AS bytes FROM audit WHERE n = ?`).get(n) as { bytes: Buffer };
  row.bytes[row.bytes.length - 1] = (row.bytes.at(-1) ?? 0) ^ 1;
  db.prepare(`UPDATE audit SET ${column} = ? WHERE n = ?`).run(row.bytes, n);
};

describe("the audit log", () => {
  it("keeps what was told, sealed, newest first", () => {
    const dir = written(3);
    const { rows, close } = open(dir);
    expect(rows.read(2).map(({ n, body }) => [n, Buffer.from(body).toString()])).toEqual([
      [3, "entry 3"],
      [2, "entry 2"],
    ]);
    expect(rows.read(10, 2).map(({ n }) => n)).toEqual([1]);
    expect(rows.check(null)).toMatchObject({ entries: 3, isEnd: true, fault: null, at: rows.head });
    close();
  });

  it("holds nothing wrong when it is empty", () => {
    expect(checkedAfter(written(0), () => {})).toMatchObject({ entries: 0, fault: null });
  });

  it.each([
    ["a bit of an entry", flip("body_sealed", 3), 3],
    ["a bit of a hash", flip("hash", 4), 4],
    ["an entry taken out", (db: Sqlite.Database) => db.exec("DELETE FROM audit WHERE n = 2"), 3],
    ["the end cut off", (db: Sqlite.Database) => db.exec("DELETE FROM audit WHERE n > 3"), 4],
    ["the beginning cut off", (db: Sqlite.Database) => db.exec("DELETE FROM audit WHERE n < 3"), 3],
    ["everything gone", (db: Sqlite.Database) => db.exec("DELETE FROM audit"), 1],
    [
      "the end cut off with the head",
      (db: Sqlite.Database) => db.exec("DELETE FROM audit WHERE n > 3; DELETE FROM value WHERE name = 'audit/head'"),
      4,
    ],
    [
      "two entries swapped",
      (db: Sqlite.Database) =>
        db.exec(
          "UPDATE audit SET n = 99 WHERE n = 2; UPDATE audit SET n = 2 WHERE n = 3; UPDATE audit SET n = 3 WHERE n = 99",
        ),
      2,
    ],
  ])("says where it was meddled with: %s", (_, meddle, at) => {
    expect(checkedAfter(written(5), meddle).fault).toMatchObject({ n: at });
  });

  it("goes on after it was cut, and the cut still shows", () => {
    const dir = written(5);
    checkedAfter(dir, (db) => db.exec("DELETE FROM audit WHERE n > 3"));
    const { rows, close } = open(dir);
    expect(rows.append(Buffer.from("later")).n).toBe(6);
    expect(rows.check(null).fault).toMatchObject({ n: 6 });
    close();
  });

  it("is bounded: what is oldest goes, and what is left still holds", () => {
    const dir = written(1_700, 1_000);
    const { rows, close } = open(dir);
    let [count, slice] = [0, rows.check(null)];
    for (count = slice.entries; !slice.isEnd; count += slice.entries) slice = rows.check(slice.at);
    expect(slice).toMatchObject({ fault: null, at: { n: 1_700 } });
    expect(count).toBeLessThanOrEqual(1_000);
    expect(count).toBeGreaterThan(499);
    close();
  });
});

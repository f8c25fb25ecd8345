import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { ErasureRequest } from "../../../src/base/erasure-request.ts";
import type { Source } from "../../../src/base/frame.ts";
import type { ErasureFacts } from "../../../src/buffer/erasure.ts";
import type { Store } from "../../../src/buffer/store.ts";
import {
  closeStore,
  commitOf,
  frameAt,
  mergeAll,
  newFolder,
  openStore,
  readAll,
  sequence,
  setup,
  stream,
} from "./store-fixture.ts";

const other = "secret_cellar";
const streams = [setup(), setup({}, other)];
const sources: Source[] = [{ mote: "secret_m0" }, { mote: "secret_m1" }, { mote: "secret_m2" }];
const tsOf = (n: number) => 1_700_000_000_000 + n * 5_000;
const eraser = fileURLToPath(new URL("./crash-eraser.ts", import.meta.url));

/** Erases to the end. */
function eraseAll(store: Store, request: ErasureRequest): ErasureFacts {
  store.eraseBegin(request);
  return finish(store);
}

function finish(store: Store): ErasureFacts {
  for (;;) {
    const facts = store.eraseStep();
    if (!facts) continue;
    store.eraseEnd(Buffer.from("receipt"));
    return facts;
  }
}

/** Two streams with three sources each: 500 readings in blocks and tails, results and letters beside them. */
function fill(store: Store): void {
  for (const name of [stream, other]) {
    store.commit(commitOf([], { sources: [{ stream: name, at: 0, sources }] }));
    for (let first = 0; first < 500; first += 50) {
      const outbox = sources.map((source, i) => ({
        lane: "rest" as const,
        stream: name,
        kind: "result" as const,
        body: Buffer.from(JSON.stringify({ source, ts: tsOf(first + i), value: first })),
      }));
      const letter = {
        topic: `motes/secret_m${first % 3}/env`,
        payload: Buffer.from("bad"),
        size: 3,
        code: "X",
        reason: "",
      };
      const dead = [{ ...letter, stream: name, receivedAt: tsOf(first) }];
      const snapshots = [{ stream: name, name: "path", sequence: first, bytes: Buffer.from("windows") }];
      store.commit(commitOf([frameAt(first, 50, name)], { outbox, dead, snapshots }));
    }
  }
  mergeAll(store);
}

const numbers = (store: Store, name = stream) => readAll(store, name).map(([n]) => n);
const owed = (store: Store) =>
  store
    .outboxAfter("rest", 0, 1e6, 1e9)
    .map(({ stream, body }) => ({ stream, ...JSON.parse(Buffer.from(body).toString()) }));
const open = (dir = newFolder()) => openStore({ dir, streams });
const filled = (dir = newFolder()) => {
  const store = open(dir);
  fill(store);
  return store;
};

describe("erasing", () => {
  it("takes a stream: readings, results, letters, snapshots and the names of its sources", () => {
    const store = filled();
    expect(eraseAll(store, { stream })).toEqual({ streams: 1, readings: 500, outbox: 30, deadLetters: 10 });
    expect(numbers(store)).toEqual([]);
    expect(numbers(store, other)).toEqual(sequence(0, 500));
    expect(owed(store).every((item) => item.stream === other)).toBe(true);
    expect(owed(store)).toHaveLength(30);
    expect(store.dead(100).map((letter) => letter.stream)).toEqual(Array(10).fill(other));
    expect(store.snapshot(stream, "path")).toBeNull();
    expect(store.snapshot(other, "path")).not.toBeNull();
    expect(JSON.stringify(store.stateOf(stream).sources)).not.toContain("secret");
    expect(store.stats().streams[stream]).toMatchObject({ readings: 0, bytes: 0, dropped: { erased: 500 } });
    // The stream goes on.
    const later = { ...frameAt(500, 10), source: new Uint32Array(10).fill(3) };
    store.commit(commitOf([later], { sources: [{ stream, at: 3, sources: [{ mote: "new" }] }] }));
    expect(store.stateOf(stream).sources[3]).toEqual({ mote: "new" });
    expect(numbers(store)).toEqual(sequence(500, 510));
  });

  it("takes one source out of blocks that hold others, in all streams or one, and keeps their readings exactly", () => {
    const store = filled();
    const gone = (n: number) => n % 3 === 1;
    expect(eraseAll(store, { source: "secret_m1", stream }).readings).toBe(sequence(0, 500).filter(gone).length);
    const kept = sequence(0, 500).filter((n) => !gone(n));
    const values = frameAt(0, 500).values[0] ?? [];
    expect(readAll(store)).toEqual(kept.map((n) => [n, values[n]]));
    expect(numbers(store, other)).toHaveLength(500);
    expect(owed(store).filter((item) => item.stream === stream && item.source.mote === "secret_m1")).toEqual([]);
    expect(owed(store)).toHaveLength(50);
    expect(store.dead(100).filter((l) => l.stream === stream && l.topic.includes("m1"))).toEqual([]);
    expect(store.dead(100).filter((l) => l.stream === stream)).toHaveLength(7);
    expect(store.stats().streams[stream]).toMatchObject({ readings: kept.length });
    // Its index is not given to another; a reading of it that was still on its way goes, too.
    store.commit(commitOf([frameAt(500, 9)]));
    expect(numbers(store).filter((n) => n >= 500)).toEqual(sequence(500, 509).filter((n) => !gone(n)));
  });

  it("takes what is older than a time", () => {
    const store = filled();
    expect(eraseAll(store, { before: tsOf(123) }).readings).toBe(246);
    expect(numbers(store)).toEqual(sequence(123, 500));
    expect(numbers(store, other)).toEqual(sequence(123, 500));
    expect(owed(store).every((item) => item.ts >= tsOf(123))).toBe(true);
    expect(store.stateOf(stream).sources).toEqual(sources);
  });

  it("hides at once what it takes, while the rest is read and written", () => {
    const dir = newFolder();
    const store = filled(dir);
    store.eraseBegin({ source: "secret_m2" });
    const kept = (to: number) => sequence(0, to).filter((n) => n % 3 !== 2);
    expect(numbers(store)).toEqual(kept(500));
    expect(owed(store).some((item) => item.source.mote === "secret_m2")).toBe(false);
    expect(store.dead(100).some((letter) => letter.topic.includes("m2"))).toBe(false);
    store.commit(commitOf([frameAt(500, 30)]));
    mergeAll(store);
    expect(numbers(store)).toEqual(kept(530));
    closeStore(store);
    const again = open(dir);
    expect(numbers(again)).toEqual(kept(530));
    expect(again.erasure()?.request).toEqual({ source: "secret_m2" });
    finish(again);
    expect(again.erasure()).toBeNull();
    expect(numbers(again)).toEqual(kept(530));
    mergeAll(again);
    expect(numbers(again)).toEqual(kept(530));
  });

  it("refuses a stream that is not there, and changes nothing", () => {
    const store = filled();
    expect(() => store.eraseBegin({ stream: "nowhere" })).toThrow(expect.objectContaining({ code: "USAGE" }));
    expect(numbers(store)).toHaveLength(500);
  });
});

describe("yesterday's copy of every file but the epoch of the keys", () => {
  // What the device holds after an erasure: the storage root, wherever it lies, and keys/epoch.
  it.each<ErasureRequest>([{ stream }, { source: "secret_m1" }, { before: tsOf(200) }, { all: true }])(
    "opens nothing after erasing %j",
    (request) => {
      const dir = newFolder();
      const store = filled(dir);
      store.rotateKeys();
      store.checkpoint();
      const yesterday = newFolder();
      cpSync(dir, yesterday, { recursive: true });
      eraseAll(store, request);
      closeStore(store);
      // All of yesterday's files over today's, but for today's epoch.
      cpSync(yesterday, dir, { recursive: true, filter: (from) => !from.endsWith("/keys/epoch") });
      expect(() => open(dir)).toThrow(expect.objectContaining({ code: "KEY_WRONG" }));
      // Nor with yesterday's buffer.db alone beside today's keys.
      const [today, mixed] = [newFolder(), newFolder()];
      const second = filled(today);
      second.checkpoint();
      closeStore(second);
      cpSync(today, mixed, { recursive: true });
      const third = open(today);
      eraseAll(third, request);
      closeStore(third);
      for (const name of ["buffer.db", "buffer.db-wal"])
        if (readdirSync(mixed).includes(name)) cpSync(join(mixed, name), join(today, name));
      const told: unknown[] = [];
      const put = openStore({ dir: today, streams }, (event) => told.push(event));
      expect(readAll(put)).toEqual([]);
      expect(told.length).toBeGreaterThan(0);
    },
  );
});

describe("an erasure that is killed", () => {
  it("goes on at the next start and ends the same, wherever it was killed", async () => {
    for (let kill = 0; kill < 6; kill++) {
      const dir = newFolder();
      const store = filled(dir);
      closeStore(store);
      const request: ErasureRequest = kill % 2 === 0 ? { source: "secret_m1" } : { stream };
      const child = spawn(process.execPath, [eraser, dir, JSON.stringify(request)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      setTimeout(() => child.kill("SIGKILL"), kill * 4);
      await once(child, "close");
      const again = open(dir);
      const wanted = kill % 2 === 0 ? sequence(0, 500).filter((n) => n % 3 !== 1) : [];
      expect(numbers(again)).toEqual(wanted);
      if (again.erasure()) finish(again);
      expect(numbers(again)).toEqual(wanted);
      expect(again.stats().streams[stream]?.readings).toBe(wanted.length);
      closeStore(again);
      const state = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((name) =>
        statSync(join(dir, name)).isFile(),
      );
      for (const name of state) expect(readFileSync(join(dir, name)).includes("secret_"), name).toBe(false);
    }
  });
});

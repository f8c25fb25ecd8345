import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Journal, type JournalOptions } from "../../../src/buffer/journal.ts";
import type { StoreEvent } from "../../../src/buffer/store.ts";
import { Database } from "../../../src/drivers/sqlite.ts";
import { commitOf, frame, startTs, valuesOf } from "../../support/frames.ts";

const MiB = 2 ** 20;
const keep = { maxBytes: 100 * MiB, maxAge: 30 * 86_400_000, priority: 5 };
const env = { name: "secretstream", fields: ["temperature", "humidity"], keep };

let dir: string;
let open: Journal[];
const events: StoreEvent[] = [];

async function start(options: Partial<JournalOptions> = {}): Promise<Journal> {
  const journal = new Journal({
    dir,
    storageRoot: new Uint8Array(32).fill(7),
    streams: [env],
    limits: { maxBytes: 64 * MiB, minFree: { bytes: 0 } },
    blockReadings: 1024,
    log: silentLog,
    onEvent: (event) => events.push(event),
    ...options,
  });
  await journal.start(new AbortController().signal);
  open.push(journal);
  return journal;
}

const close = (journal: Journal) => journal.stop(5_000);
const sources = [{ stream: env.name, at: 0, sources: [{ mote: "attic-1" }, { mote: "attic-2" }] }];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "journal-"));
  open = [];
  events.length = 0;
});
afterEach(async () => {
  await Promise.all(open.map(close));
  rmSync(dir, { recursive: true, force: true });
});

describe("the journal", () => {
  it("has after a restart what was committed: readings, sources, cursors, outbox, snapshots, dead letters", async () => {
    const first = await start();
    const item = { lane: "alarm", stream: env.name, kind: "result", body: Buffer.from("{}") } as const;
    const letter = {
      stream: null,
      topic: "a/b",
      payload: Buffer.from([1, 2]),
      size: 2,
      code: "TOPIC_UNKNOWN",
      reason: "no",
      receivedAt: 5,
    };
    const snapshot = { stream: env.name, name: "path", sequence: 3, bytes: Buffer.from("state") };
    await first.commit(
      commitOf({
        frames: [frame(env.name, 0, 5)],
        sources,
        cursors: { [env.name]: { inferred: 4 } },
        outbox: [item, item],
        dead: [letter],
        snapshots: [snapshot],
      }),
    );
    await close(first);
    const second = await start();
    const state = await second.stateOf(env.name);
    expect(state).toEqual({
      sources: [{ mote: "attic-1" }, { mote: "attic-2" }],
      next: 5,
      cursors: { inferred: 4, aggregated: 0, uplinked: 0 },
    });
    expect(await second.read(env.name, { limit: 100 })).toEqual([frame(env.name, 0, 5)]);
    expect((await second.outboxAfter("alarm", 0, 10, 1e6)).map(({ n }) => n)).toEqual([1, 2]);
    expect(await second.snapshot(env.name, "path")).toMatchObject({ sequence: 3 });
    expect(await second.dead(10)).toMatchObject([{ topic: "a/b", size: 2 }]);
  });

  it("merges tails into blocks without losing or doubling a reading, and cuts slices where asked", async () => {
    const journal = await start();
    for (let at = 0; at < 3_000; at += 30)
      await journal.commit(commitOf({ frames: [frame(env.name, at, 30)], sources: at === 0 ? sources : [] }));
    await journal.merge();
    const stats = (await journal.stats()).streams[env.name];
    expect(stats).toMatchObject({ readings: 3_000 });
    expect(stats?.blocks).toBeGreaterThanOrEqual(2);
    const all = valuesOf(await journal.read(env.name, { limit: 10_000 }));
    expect(all).toEqual(Array.from({ length: 3_000 }, (_, i) => i));
    expect(valuesOf(await journal.read(env.name, { from: 1_000, to: 1_010, limit: 100 }))).toEqual(
      Array.from({ length: 10 }, (_, i) => 1_000 + i),
    );
  });

  it("never gives an outbox number twice, even after the outbox was emptied and the daemon restarted", async () => {
    const item = { lane: "rest", stream: env.name, kind: "result", body: Buffer.from("{}") } as const;
    const first = await start();
    await first.commit(commitOf({ outbox: [item, item] }));
    await first.outboxReceipt("rest", 2);
    await close(first);
    const second = await start();
    await second.commit(commitOf({ outbox: [item] }));
    expect((await second.outboxAfter("rest", 0, 10, 1e6)).map(({ n }) => n)).toEqual([3]);
  });

  it("leaves no field, stream, source, topic or text in its files", async () => {
    const journal = await start();
    const body = Buffer.from('{"label":"burglary"}');
    await journal.commit(
      commitOf({
        frames: [frame(env.name, 0, 50)],
        sources,
        outbox: [{ lane: "rest", stream: env.name, kind: "result", body }],
        dead: [
          { stream: null, topic: "hidden/topic", payload: body, size: 20, code: "X", reason: "why", receivedAt: 1 },
        ],
      }),
    );
    await close(journal);
    for (const file of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
      if (statSync(join(dir, file)).isDirectory()) continue;
      const bytes = readFileSync(join(dir, file)).toString("latin1");
      for (const word of ["secretstream", "temperature", "humidity", "attic", "burglary", "hidden/topic"])
        expect(bytes.includes(word), `${word} in ${file}`).toBe(false);
    }
  });

  it("refuses a second daemon on the same directory, and another key", async () => {
    const journal = await start();
    await expect(start()).rejects.toMatchObject({ code: "DATA_DIR_IN_USE", exit: 75 });
    await close(journal);
    await expect(start({ storageRoot: new Uint8Array(32).fill(8) })).rejects.toMatchObject({
      code: "KEY_WRONG",
      exit: 78,
    });
  });

  it("sets a damaged piece apart, counts it and goes on", async () => {
    const journal = await start();
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 10)], sources }));
    await journal.commit(commitOf({ frames: [frame(env.name, 10, 10)] }));
    await close(journal);
    const db = new Database(join(dir, "buffer.db"));
    db.prepare("UPDATE piece SET body_sealed = zeroblob(100) WHERE id = (SELECT min(id) FROM piece)").run();
    db.close();
    const again = await start();
    expect(valuesOf(await again.read(env.name, { limit: 100 }))).toEqual(Array.from({ length: 10 }, (_, i) => 10 + i));
    const stats = await again.stats();
    expect(stats.streams[env.name]?.dropped).toEqual({ corrupt: 10 });
    expect(stats.quarantined).toBe(1);
  });

  it("sets a file aside that will not open, and works on", async () => {
    const journal = await start();
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 10)], sources }));
    await close(journal);
    writeFileSync(join(dir, "buffer.db"), Buffer.alloc(8_192, 0x55));
    const again = await start();
    expect(events).toMatchObject([{ event: "set-aside" }]);
    expect(readdirSync(dir)).toContain("buffer.db.aside");
    await again.commit(commitOf({ frames: [frame(env.name, 0, 3)], sources }));
    expect(valuesOf(await again.read(env.name, { limit: 10 }))).toEqual([0, 1, 2]);
  });

  it("stays within its budget, removing the oldest of the lowest priority and counting it", async () => {
    const low = { ...env, name: "low", keep: { ...keep, priority: 1 } };
    const limits = { maxBytes: MiB, minFree: { bytes: 0 } };
    const journal = await start({ streams: [env, low], limits });
    const noise = (stream: string, first: number) => {
      const made = frame(stream, first, 1_000);
      return {
        ...made,
        values: [made.values[0] ?? new Float64Array(0), Float64Array.from({ length: 1_000 }, Math.random)],
      };
    };
    for (let i = 0; i < 150; i++)
      await journal.commit(commitOf({ frames: [noise(env.name, i * 1_000), noise("low", i * 1_000)] }));
    await journal.retain();
    const stats = await journal.stats();
    const size = statSync(join(dir, "buffer.db")).size;
    expect(size).toBeLessThanOrEqual(MiB);
    expect(stats.streams.low?.dropped.budget).toBeGreaterThan(0);
    const kept = (name: string) => stats.streams[name]?.readings ?? 0;
    const dropped = (name: string) => stats.streams[name]?.dropped.budget ?? 0;
    expect(kept("low") + dropped("low")).toBe(150_000);
    expect(kept(env.name) + dropped(env.name)).toBe(150_000);
    expect(kept(env.name)).toBeGreaterThan(kept("low"));
  });

  it("keeps the fields of a stream that is configured no more", async () => {
    const journal = await start();
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 3)], sources }));
    await close(journal);
    const again = await start({ streams: [] });
    expect(await again.read(env.name, { limit: 10 })).toEqual([frame(env.name, 0, 3)]);
  });

  it("reads by time", async () => {
    const journal = await start();
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 10)], sources }));
    await journal.commit(commitOf({ frames: [frame(env.name, 10, 10)] }));
    const frames = await journal.read(env.name, { fromTs: startTs + 12_000, limit: 100 });
    expect(frames[0]?.first).toBe(10);
  });

  it("starts another thread when its own is lost; commits are told to try again meanwhile", async () => {
    const threads: Worker[] = [];
    const note = (worker: Worker) => threads.push(worker);
    process.on("worker", note);
    const journal = await start();
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 10)], sources }));
    const owed = journal.commit(commitOf({ frames: [frame(env.name, 10, 10)] }));
    const outcome = owed.then(
      () => 20,
      (error: TidegateError) => {
        expect(error).toMatchObject({ code: "STORAGE_FAILED", kind: "retry" });
        return 10;
      },
    );
    await threads[0]?.terminate();
    await outcome;
    const next = await vi.waitFor(async () => (await journal.stateOf(env.name)).next, { timeout: 10_000 });
    process.off("worker", note);
    await journal.commit(commitOf({ frames: [frame(env.name, next, 10)] }));
    expect(valuesOf(await journal.read(env.name, { limit: 100 }))).toHaveLength(next + 10);
    expect(journal.progress.restarts).toBe(1);
  });

  it("starts threads less and less often when one after the other is lost, until a commit holds", async () => {
    const threads: Worker[] = [];
    const bornAt: number[] = [];
    const note = (worker: Worker) => {
      threads.push(worker);
      bornAt.push(performance.now());
    };
    process.on("worker", note);
    const journal = await start();
    const isBack = () => vi.waitFor(() => journal.stateOf(env.name), { timeout: 10_000 });
    const lose = async () => {
      const lostAt = performance.now();
      await threads.at(-1)?.terminate();
      await isBack();
      return (bornAt.at(-1) ?? 0) - lostAt;
    };
    // It opens each time, and even reads; only a commit shows that the disk takes something.
    await lose();
    await lose();
    expect(await lose()).toBeGreaterThan(900);
    await journal.commit(commitOf({ frames: [frame(env.name, 0, 10)], sources }));
    expect(await lose()).toBeLessThan(900);
    process.off("worker", note);
  });
});

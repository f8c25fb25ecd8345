import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Store } from "../../src/buffer/store.ts";
import { openKeyRing } from "../../src/crypto/key-ring.ts";
import { openDocument } from "../../src/crypto/signed-document.ts";
import type { SignedReceipt } from "../../src/gateway/erasures.ts";
import { frame, startTs } from "../support/frames.ts";
import { jsonOf, type Ran, Site, shell } from "./verbs-fixture.ts";

const sources = [{ stream: "env", at: 0, sources: [{ mote: "m1" }, { mote: "a,b" }] }];
type Line = { id: string; stream: string; source: { mote: string }; ts: number; fields: Record<string, number> };
const linesOf = ({ out }: Ran): Line[] =>
  out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

let site: Site;
beforeEach(() => {
  site = new Site();
  mkdirSync(site.dataDir);
});
afterEach(() => site.remove());

describe("tidegate buffer, without a daemon", () => {
  it("exports every reading as one line of JSON, with exactly the promised keys", async () => {
    site.store({ frames: [frame("env", 0, 3)], sources });
    const ran = await site.run("buffer", "export", "--stream", "env");
    expect(ran.err).toBe("");
    expect(ran.code).toBe(0);
    const lines = linesOf(ran);
    expect(lines.map(({ fields }) => fields.temperature)).toEqual([0, 1, 2]);
    expect(lines[1]).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      stream: "env",
      source: { mote: "a,b" },
      ts: startTs + 1000,
      receivedAt: startTs + 1000,
      fields: { temperature: 1, humidity: 0.01 },
    });
  });

  it("exports a part: one source, a span of time", async () => {
    site.store({ frames: [frame("env", 0, 10)], sources });
    const from = new Date(startTs + 3000).toISOString();
    const words = ["buffer", "export", "--stream", "env", "--from", from, "--to", String(startTs + 8000)];
    expect(linesOf(await site.run(...words)).map(({ fields }) => fields.temperature)).toEqual([3, 4, 5, 6, 7]);
    const one = linesOf(await site.run(...words, "--source", "m1"));
    expect(one.map(({ fields }) => fields.temperature)).toEqual([4, 6]);
    const none = await site.run("buffer", "export", "--stream", "env", "--source", "m9");
    expect(none).toMatchObject({ code: 0, out: "", err: "No reading of env is as asked for.\n" });
  });

  it("exports CSV whose names and values survive commas", async () => {
    const cells = frame("env", 0, 2);
    cells.values[1]?.fill(Number.NaN, 0, 1);
    site.store({ frames: [cells], sources });
    const { out } = await site.run("buffer", "export", "--stream", "env", "--format", "csv");
    const [head, first, second, end] = out.split("\n");
    expect(head).toBe("id,stream,source.mote,ts,receivedAt,fields.temperature,fields.humidity");
    expect(first).toMatch(new RegExp(`^[0-9a-f]{32},env,m1,${startTs},${startTs},0,$`));
    expect(second).toMatch(/,env,"a,b",\d+,\d+,1,0.01$/);
    expect(end).toBe("");
  });

  it("gives readings from before a change of fields the columns of now", async () => {
    site.store({ frames: [frame("env", 0, 1)], sources });
    const fields = { temperature: "temperature", pressure: "p" };
    site.configure({ streams: { env: { topic: "motes/{mote}/env", fields } } });
    const { out } = await site.run("buffer", "export", "--stream", "env", "--format", "csv");
    const [head, line] = out.split("\n");
    expect(head).toBe("id,stream,source.mote,ts,receivedAt,fields.temperature,fields.pressure");
    expect(line).toMatch(/,m1,\d+,\d+,0,$/);
  });

  it("tells what is in the buffer with the promised keys", async () => {
    const dropped = [{ stream: "env", reason: "budget", n: 7 }];
    site.store({ frames: [frame("env", 0, 5)], sources, dropped });
    const stats = jsonOf<Record<string, unknown>>(await site.run("buffer", "stats", "--json"));
    expect(stats).toMatchObject({
      streams: { env: { readings: 5, blocks: 0, oldest: startTs, newest: startTs + 4000, dropped: { budget: 7 } } },
      walBytes: expect.any(Number),
      outbox: { messages: 0, oldestAgeSeconds: 0 },
    });
    const { out } = await site.run("buffer", "stats");
    expect(out).toMatch(/env +5 +0 +1 .*7 budget/);
  });

  it("ends quietly when its reader has gone, however much is left to export", async () => {
    site.store({ frames: [frame("env", 0, 60_000)], sources });
    const words = ["buffer", "export", "--stream", "env", "--config", site.file];
    const ran = await shell('{ sh "$0" "$@"; echo "code $?" >&2; } | head -1', words);
    expect(ran.out.split("\n")).toHaveLength(2);
    expect(ran.err).toBe("code 0\n");
  });

  it("keeps to its memory when the reader is slower than the journal", async () => {
    const step = 2_000;
    site.store({ sources }, ...Array.from({ length: 150 }, (_, i) => ({ frames: [frame("env", i * step, step)] })));
    const words = ["buffer", "export", "--stream", "env", "--config", site.file];
    const heap = { NODE_OPTIONS: "--max-old-space-size=48" };
    const ran = await shell('{ sh "$0" "$@"; echo "code $?" >&2; } | { sleep 2; wc -l; }', words, heap);
    expect(ran.err).toBe("code 0\n");
    expect(ran.out.trim()).toBe("300000");
  });

  it("refuses a stream that there is none of, and names the nearest", async () => {
    site.store({ frames: [frame("env", 0, 1)], sources });
    const ran = await site.run("buffer", "export", "--stream", "enw", "--json");
    expect(ran.code).toBe(64);
    expect(jsonOf<{ error: { message: string } }>(ran).error.message).toContain("did you mean env?");
  });

  it("refuses times that are none, and spans that end before they begin", async () => {
    const words = ["buffer", "export", "--stream", "env"];
    expect((await site.run(...words, "--from", "yesterday")).code).toBe(64);
    expect((await site.run(...words, "--from", "2026-01-02", "--to", "2026-01-01")).code).toBe(64);
    expect((await site.run(...words, "--format", "xml")).code).toBe(64);
  });

  it("erases a source for good, and gives a receipt that its key has signed", async () => {
    site.store({ frames: [frame("env", 0, 10)], sources });
    const ran = await site.run("buffer", "erase", "--source", "m1", "--yes", "--json");
    expect(ran.err).toBe("");
    expect(ran.code).toBe(0);
    const { receipt, envelope } = jsonOf<SignedReceipt>(ran);
    expect(receipt).toMatchObject({ kind: "erase-receipt", audience: "test/gw-1", version: 1, by: ["source"] });
    expect(receipt.erased).toEqual({ streams: 1, readings: 5, outbox: 0, deadLetters: 0 });
    expect(receipt.notReached.length).toBeGreaterThan(2);
    const { signer } = openKeyRing({ dataDir: site.dataDir });
    const expected = { kind: "erase-receipt", audience: "test/gw-1", trusted: [signer.publicKey] };
    expect(openDocument(JSON.stringify(envelope), expected).document).toEqual(receipt);
    const left = linesOf(await site.run("buffer", "export", "--stream", "env"));
    expect(left.map(({ source }) => source.mote)).toEqual(Array(5).fill("a,b"));
    expect((await site.run("buffer", "erase", "--all", "--yes")).out).toContain("Erased 5 readings");
  });

  it("erases nothing that was not named, nor without being told twice", async () => {
    site.store({ frames: [frame("env", 0, 10)], sources });
    for (const words of [[], ["--all", "--stream", "env"], ["--stream", "enw"], ["--before", "yesterday"]])
      expect((await site.run("buffer", "erase", ...words, "--yes")).code).toBe(64);
    const ran = await site.run("buffer", "erase", "--all");
    expect(ran.code).toBe(64);
    expect(ran.err).toContain("--yes");
    expect(linesOf(await site.run("buffer", "export", "--stream", "env"))).toHaveLength(10);
  });

  it("says to try again (75) while another process has the data directory and no daemon answers", async () => {
    site.store({ frames: [frame("env", 0, 1)], sources });
    const store: Store = site.openStore();
    try {
      const ran = await site.run("buffer", "stats", "--json");
      expect(ran.code).toBe(75);
      expect(jsonOf<{ error: { code: string } }>(ran).error.code).toBe("DATA_DIR_IN_USE");
    } finally {
      store.close();
    }
  });

  it("begins no journal and no keys where there are none", async () => {
    const ran = await site.run("buffer", "stats");
    expect(ran.code).toBe(69);
    expect(ran.err).toContain("there is no journal in");
    for (const name of ["buffer.db", "state.db", "keys"]) expect(existsSync(join(site.dataDir, name))).toBe(false);
  });

  it("leaves a buffer.db alone whose state.db is elsewhere", async () => {
    writeFileSync(join(site.dataDir, "buffer.db"), "kept");
    expect((await site.run("buffer", "stats")).code).toBe(69);
    expect(existsSync(join(site.dataDir, "state.db"))).toBe(false);
  });

  it("refuses another key (78)", async () => {
    site.store({ frames: [frame("env", 0, 1)], sources });
    const other = Buffer.alloc(32, 1);
    other[0] = 2;
    writeFileSync(join(site.dataDir, "keys", "storage.key"), other.toString("base64"), { mode: 0o600 });
    const ran = await site.run("buffer", "export", "--stream", "env");
    expect(ran.code).toBe(78);
    expect(ran.err).toContain("not written with the storage root");
  });
});

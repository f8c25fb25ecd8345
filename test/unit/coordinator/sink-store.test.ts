import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileSinkStore } from "../../../src/coordinator/sink-store.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tidegate-sink-"));
  file = join(dir, "deep", "sink.log");
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const record = (domain: string, upTo: number) => ({ domain, spans: [[-2, upTo] as const] });

async function reload() {
  const store = new FileSinkStore(file);
  const state = await store.load();
  await store.close();
  return state;
}

describe("the sink's store", () => {
  it("has after a restart what was committed", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    await store.commit({ domains: [record("a", 1)], files: { f: 10 }, values: { v: "1" } });
    await store.commit({ domains: [record("a", 2), record("b", 1)], files: { f: 20, g: 5 } });
    await store.commit({ domains: [{ domain: "b", spans: [] }], files: { g: -1 } });
    await store.close();
    const { domains, files, values } = await reload();
    expect([...domains.values()]).toEqual([record("a", 2)]);
    expect([...files]).toEqual([["f", 20]]);
    expect([...values]).toEqual([["v", "1"]]);
  });

  it("writes down steps one after another, however many are asked for at once", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.commit({ values: { [`v${n}`]: "x".repeat(n * 7) } })));
    await store.close();
    expect((await reload()).values.size).toBe(20);
  });

  it("loses a torn last step and nothing else", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    await store.commit({ domains: [record("a", 1)] });
    await store.commit({ domains: [record("a", 2)] });
    await store.close();
    const whole = readFileSync(file);
    truncateSync(file, whole.length - 3);
    expect((await reload()).domains.get("a")).toEqual(record("a", 1));
    writeFileSync(file, whole);
    appendFileSync(file, Buffer.alloc(100));
    expect((await reload()).domains.get("a")).toEqual(record("a", 2));
  });

  it("does not guess when a step in the middle is damaged", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    for (let n = 1; n < 5; n++) await store.commit({ domains: [record("a", n)] });
    await store.close();
    const lines = readFileSync(file, "utf8").split("\n");
    lines[2] = "{";
    writeFileSync(file, lines.join("\n"));
    await expect(reload()).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
  });

  it("stays short however long it runs", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    const values = { text: "x".repeat(2 * 2 ** 20) };
    for (let n = 0; n < 12; n++) await store.commit({ domains: [record("a", n)], values });
    await store.close();
    expect(statSync(file).size).toBeLessThan(20 * 2 ** 20);
    expect((await reload()).domains.get("a")).toEqual(record("a", 11));
  });

  it("is of no use once closed", async () => {
    const store = new FileSinkStore(file);
    await store.load();
    await store.close();
    await expect(store.commit({})).rejects.toMatchObject({ code: "STOPPED" });
  });
});

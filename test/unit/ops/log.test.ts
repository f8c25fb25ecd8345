import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { createLog, type LogForm } from "../../../src/ops/log.ts";

const at = Date.UTC(2024, 0, 2, 3, 4, 5, 678);

function collecting(form: LogForm = "json") {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLog({ level: "info", destination, form, isColoured: false, now: () => at });
  return { log, lines, entry: (index = 0) => JSON.parse(lines[index] ?? "null") as Record<string, unknown> };
}

describe("the log", () => {
  it("writes one line per event: level, time, event and facts", () => {
    const { log, lines, entry } = collecting();
    log.info({ readings: 3, topic: "a\nb" }, "committed");
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
    expect(entry()).toEqual({
      level: "info",
      time: "2024-01-02T03:04:05.678Z",
      readings: 3,
      topic: "a\nb",
      event: "committed",
    });
  });

  it("hides secrets by name at any depth, and keeps the names of files", () => {
    const { log, lines, entry } = collecting();
    log.info(
      {
        link: { username: "u", password: "hunter2", tls: { key: "pem-of-key", ca: "/etc/ca.pem" } },
        list: [{ dataKey: "AAAA", apiToken: "t0k" }],
        storage_root: "rrr",
        passwordFile: "site.pass",
        tokens: ["x1"],
      },
      "configured",
    );
    for (const secret of ["hunter2", "pem-of-key", "AAAA", "t0k", "rrr", "x1"]) expect(lines[0]).not.toContain(secret);
    expect(entry()).toMatchObject({ passwordFile: "site.pass", link: { username: "u", tls: { ca: "/etc/ca.pem" } } });
  });

  it("hides passwords in addresses, in facts, events and errors", () => {
    const { log, lines } = collecting();
    const url = "mqtts://pump:s3c@ret@broker.example.com:8883/x";
    log.child({ url }).warn({ error: new Error(`cannot reach ${url}`), [url]: 1 }, `gave up on ${url}`);
    expect(lines[0]).not.toMatch(/s3c|ret@|pump/);
    expect(lines[0]).toContain("broker.example.com:8883");
  });

  it("hides private keys that an error quotes", () => {
    const { log, lines } = collecting();
    log.error({ reason: "bad: -----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY----- end" }, "no key");
    expect(lines[0]).not.toContain("MIIabc");
    expect(lines[0]).toContain("end");
  });

  it("counts bytes instead of printing them, and bounds text, lists and depth", () => {
    const { log, entry, lines } = collecting();
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    log.info({ payload: new Uint8Array(70), text: "x".repeat(1e6), list: Array(1e5).fill(1), loop, n: 1n }, "odd");
    expect(entry()).toMatchObject({ payload: "[70 bytes]", n: "1" });
    expect(lines[0]?.length).toBeLessThan(5_000);
  });

  it("tells an error's code, facts and cause, with the stack only of our own faults", () => {
    const { log, entry } = collecting();
    const cause = new Error("disk on fire");
    log.error({ error: new TidegateError("FILE_UNREADABLE", { file: "f", reason: "r" }, { cause }) }, "no");
    const error = entry().error as Record<string, unknown>;
    expect(error).toMatchObject({ code: "FILE_UNREADABLE", facts: { file: "f" }, cause: { message: "disk on fire" } });
    expect(error).not.toHaveProperty("stack");
    log.error({ error: new TidegateError("BUG", { detail: "d" }) }, "ours");
    expect((entry(1).error as Record<string, unknown>).stack).toContain("log.test.ts");
  });

  it("keeps facts apart from what the line itself says", () => {
    const { log, entry } = collecting();
    log.child({ level: "child" }).info({ event: "fact", time: 5 }, "the event");
    expect(entry()).toMatchObject({ level: "info", level_: "child", event: "the event", event_: "fact", time_: 5 });
  });

  it("changes the level of children that exist already", () => {
    const { log, lines } = collecting();
    const child = log.child({ part: "link" });
    child.debug("quiet");
    log.level = "debug";
    child.debug("heard");
    log.level = "error";
    child.warn("quiet");
    expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(["heard"]);
  });

  it("marks severity for journald", () => {
    const { log, lines } = collecting("journal");
    log.warn("careful");
    expect(lines[0]).toMatch(/^<4>\{"level":"warn"/);
  });

  it("is readable on a terminal, and peers cannot move its cursor", () => {
    const { log, lines } = collecting("people");
    log.info({ topic: "a\x1b[2J\u009b2Jb", n: 3, gap: "two words" }, "dead letter");
    expect(lines[0]).toMatch(/^\d\d:\d\d:05\.678 INFO {2}dead letter {2}topic=.* n=3 gap="two words"\n$/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the point
    expect(lines[0]?.trimEnd()).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
  });

  it("writes to standard error in the background and loses nothing at the end of the process", () => {
    const script = `
      import { createLog } from ${JSON.stringify(resolve("src/ops/log.ts"))};
      const log = createLog({ level: "info" });
      for (let i = 0; i < 500; i++) log.info({ i }, "line");
      log.flush();
      process.exit(3);`;
    const env = { ...process.env };
    delete env.JOURNAL_STREAM;
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", env });
    expect(child.status).toBe(3);
    const lines = child.stderr.trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { i: number }).i)).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    );
  });
});

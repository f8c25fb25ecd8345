import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { commandTransport, openSocketTransport, socketAddress } from "../../src/drivers/notify.ts";
import { Notifier } from "../../src/ops/notifier.ts";

const has = (command: string) => spawnSync(command, ["--version"]).status === 0;
const reasons = [
  ...(has("python3") ? [] : ["python3, which plays systemd, is not there"]),
  ...(has("systemd-notify") ? [] : ["systemd-notify is not there"]),
];
if (reasons.length > 0) console.warn(`left out of ops-notify: ${reasons.join("; ")}`);

// Plays systemd: prints each datagram with the process id that the kernel vouches for, and closes the descriptors that
// come along, as `systemd-notify` waits for that.
const receiver = `
import json, os, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(sys.argv[1].replace("@", "\\0", 1) if sys.argv[1][0] == "@" else sys.argv[1])
print("up", flush=True)
if sys.argv[2] == "deaf": sys.stdin.read()
while True:
    data, extra, _, _ = s.recvmsg(65536, 1024)
    pid = 0
    for level, kind, value in extra:
        if kind == socket.SCM_CREDENTIALS: pid = struct.unpack("3i", value[:12])[0]
        if kind == socket.SCM_RIGHTS: [os.close(f) for f in struct.unpack("%di" % (len(value) // 4), value)]
    print(json.dumps([pid, data.decode()]), flush=True)
`;

const running: ChildProcess[] = [];
const folders: string[] = [];

afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "notify-"));
  folders.push(folder);
  return join(folder, "notify");
}

async function systemd(address: string, hearing: "hearing" | "deaf" = "hearing") {
  const child = spawn("python3", ["-c", receiver, address, hearing], { stdio: ["pipe", "pipe", "inherit"] });
  running.push(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("up");
  return {
    child,
    next: async () => {
      const [pid, message] = JSON.parse((await lines.next()).value as string) as [number, string];
      return { pid, message };
    },
  };
}

describe.skipIf(reasons.length > 0)("systemd is notified", () => {
  it.each(["path", "abstract"])("from this very process, through a socket with %s name", async (kind) => {
    const address = kind === "path" ? socketPath() : `@tidegate-test-${process.pid}`;
    const { next } = await systemd(address);
    const transport = await openSocketTransport(address);
    expect(await transport.send("READY=1\nSTATUS=möwe")).toBe(true);
    expect(await next()).toEqual({ pid: process.pid, message: "READY=1\nSTATUS=möwe" });
    transport.close();
  });

  it("through systemd's own tool where the library cannot be loaded", async () => {
    const address = socketPath();
    const { next } = await systemd(address);
    const lost: (string | null)[] = [];
    const notifier = new Notifier({
      ways: [
        () => Promise.reject(new Error("the library cannot be loaded")),
        () => Promise.resolve(commandTransport(address)),
      ],
      clock: systemClock,
      log: silentLog,
      onLost: (reason) => lost.push(reason),
    });
    await notifier.ready('all "well"; $HOME');
    const { message } = await next();
    expect(message.split("\n")).toEqual(expect.arrayContaining(["READY=1", 'STATUS=all "well"; $HOME']));
    expect(lost).toEqual([]);
  });

  it("does not wait for a systemd that reads nothing, and delivers once it reads again", async () => {
    const address = socketPath();
    const { child, next } = await systemd(address, "deaf");
    const transport = await openSocketTransport(address);
    let taken = 0;
    const started = performance.now();
    while (await transport.send(`STATUS=${taken}`)) if (++taken > 100_000) break;
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(taken).toBeLessThan(100_000);
    child.stdin?.end();
    expect((await next()).message).toBe("STATUS=0");
    while (!(await transport.send("STATUS=last"))) await new Promise((resolve) => setTimeout(resolve, 10));
    let message = "";
    while (message !== "STATUS=last") message = (await next()).message;
    transport.close();
  });

  it("is told as lost when its socket goes away, and found when it is back", async () => {
    const address = socketPath();
    const first = await systemd(address);
    const lost: (string | null)[] = [];
    const notifier = new Notifier({
      ways: [() => openSocketTransport(address)],
      clock: systemClock,
      log: silentLog,
      onLost: (reason) => lost.push(reason),
    });
    await notifier.ready("up");
    await first.next();
    first.child.kill("SIGKILL");
    await new Promise((resolve) => first.child.once("exit", resolve));
    rmSync(address);
    await notifier.watchdog();
    expect(lost).toEqual(["socket: ENOENT; socket: ENOENT"]);
    const second = await systemd(address);
    await notifier.watchdog();
    expect((await second.next()).message).toBe("WATCHDOG=1");
    expect(lost).toHaveLength(2);
    await notifier.close();
  });
});

describe("systemd's address", () => {
  it("is refused where it is no unix socket, or too long for one", () => {
    for (const address of ["", "/", "@", "vsock:2:1234", "relative", `/${"x".repeat(107)}`]) {
      expect(socketAddress(address)).toBeUndefined();
    }
    expect(socketAddress(`/${"x".repeat(106)}`)).toHaveLength(2 + 108);
    expect(socketAddress(`@${"x".repeat(107)}`)).toHaveLength(2 + 108);
  });
});

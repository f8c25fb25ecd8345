import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TidegateError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { ControlClient } from "../../src/ops/control-client.ts";
import { type ControlHandler, ControlServer } from "../../src/ops/control-server.ts";

let folder: string;
let socket: string;
const servers: ControlServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "control-"));
  socket = join(folder, "control.sock");
});

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(500);
  rmSync(folder, { recursive: true });
});

const handlers: Record<string, ControlHandler> = {
  add: async ({ a, b }) => Number(a) + Number(b),
  nothing: async () => undefined,
  weak: async () => {
    throw new TidegateError("KEY_WEAK", { what: "this", password: "hunter2" });
  },
  crash: async () => {
    throw new Error("oops");
  },
  count: async ({ to }, { emit }) => {
    for (let i = 0; i < Number(to); i++) await emit(i);
    return "done";
  },
  hang: (_, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
};

async function serving(more: Partial<ConstructorParameters<typeof ControlServer>[0]> = {}): Promise<ControlServer> {
  const server = new ControlServer({ socket, handlers, log: silentLog, ...more });
  servers.push(server);
  await server.start();
  return server;
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => "no error",
    (thrown: unknown) => (thrown instanceof TidegateError ? thrown.code : String(thrown)),
  );

/** Speaks raw bytes and returns what comes back until the server ends. */
async function raw(...pieces: (string | Buffer)[]): Promise<string> {
  const client = createConnection({ path: socket });
  await once(client, "connect");
  client.on("error", () => {});
  for (const piece of pieces) client.write(piece);
  client.end();
  let text = "";
  client.setEncoding("utf8").on("data", (chunk) => {
    text += chunk;
  });
  await new Promise((resolve) => client.once("close", resolve));
  return text;
}

describe("the control socket", () => {
  it("is for owner and group alone, and gone after a stop", async () => {
    const server = await serving();
    expect(statSync(socket).mode & 0o777).toBe(0o660);
    await server.stop(500);
    expect(existsSync(socket)).toBe(false);
    await server.stop(500);
    expect(await codeOf(ControlClient.connect(socket))).toBe("CONTROL_UNAVAILABLE");
  });

  it("answers several calls of one client at once, and tells errors by code", async () => {
    await serving();
    const client = await ControlClient.connect(socket);
    const calls = Array.from({ length: 100 }, (_, i) => client.call("add", { a: i, b: 1 }));
    expect(await Promise.all(calls)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    expect(await client.call("nothing")).toBeNull();
    expect(await codeOf(client.call("crash"))).toBe("BUG");
    expect(await codeOf(client.call("unknown"))).toBe("CONTROL_UNKNOWN");
    expect(await codeOf(client.call("toString"))).toBe("CONTROL_UNKNOWN");
    const weak = await client.call("weak").catch((thrown: unknown) => thrown as TidegateError);
    expect(weak).toMatchObject({ code: "KEY_WEAK", facts: { what: "this" } });
    expect(JSON.stringify(weak)).not.toContain("hunter2");
    expect(await client.call("add", { a: 1, b: 1 })).toBe(2);
    client.close();
  });

  it("streams no faster than the reader reads", async () => {
    let emitted = 0;
    const big = "x".repeat(10_000);
    await serving({
      handlers: {
        flood: async (_, { emit }) => {
          for (; emitted < 2_000; emitted++) await emit(big);
        },
      },
    });
    const client = await ControlClient.connect(socket);
    let taken = 0;
    let ahead = 0;
    await client.call(
      "flood",
      {},
      {
        onItem: async () => {
          taken++;
          if (taken % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
          ahead = Math.max(ahead, emitted - taken);
        },
      },
    );
    expect(taken).toBe(2_000);
    // 20 MB in all; what the two ends and the kernel hold is a fraction of it.
    expect(ahead).toBeLessThan(200);
    client.close();
  });

  it("aborts the work of a client that goes away", async () => {
    const aborted = Promise.withResolvers<void>();
    await serving({
      handlers: {
        hang: async (_, { signal, emit }) => {
          await emit("started");
          await once(signal, "abort");
          aborted.resolve();
        },
      },
    });
    const client = await ControlClient.connect(socket);
    const stopping = new AbortController();
    const call = client.call("hang", {}, { onItem: () => stopping.abort(), signal: stopping.signal });
    expect(await codeOf(call)).toBe("STOPPED");
    await aborted.promise;
  });

  it("aborts and answers what runs when the daemon stops", async () => {
    const server = await serving();
    const client = await ControlClient.connect(socket);
    const call = codeOf(client.call("hang"));
    await client.call("nothing");
    await server.stop(2_000);
    expect(await call).toBe("STOPPED");
  });

  it("stops within its deadline though work ignores the abort", async () => {
    const server = await serving({ handlers: { deaf: () => new Promise(() => {}), ping: async () => null } });
    const client = await ControlClient.connect(socket);
    const call = codeOf(client.call("deaf"));
    await client.call("ping");
    const started = performance.now();
    await server.stop(300);
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(await call).toBe("CONTROL_UNAVAILABLE");
  });

  it("tells a client that the daemon died in mid-answer", async () => {
    const child = spawn(process.execPath, [
      "-e",
      `require("node:net").createServer((s) => s.once("data", () => process.kill(process.pid, "SIGKILL")))
        .listen(${JSON.stringify(socket)}, () => console.log("up"))`,
    ]);
    const exited = once(child, "exit");
    await once(child.stdout, "data");
    const client = await ControlClient.connect(socket);
    expect(await codeOf(client.call("add"))).toBe("CONTROL_UNAVAILABLE");
    expect(await codeOf(client.call("add"))).toBe("CONTROL_UNAVAILABLE");
    await exited;
    // Its socket file is still there: the next daemon takes its place.
    expect(existsSync(socket)).toBe(true);
    await serving();
    const next = await ControlClient.connect(socket);
    expect(await next.call("add", { a: 1, b: 2 })).toBe(3);
    next.close();
  });

  it("does not take the place of a daemon that lives, nor of anything else", async () => {
    await serving();
    expect(await codeOf(serving())).toBe("SOCKET_IN_USE");
    const client = await ControlClient.connect(socket);
    expect(await client.call("nothing")).toBeNull();
    client.close();
    const file = join(folder, "file");
    writeFileSync(file, "precious");
    expect(await codeOf(serving({ socket: file }))).toBe("SOCKET_UNUSABLE");
    expect(existsSync(file)).toBe(true);
    expect(await codeOf(serving({ socket: join(folder, "no/such/folder") }))).toBe("SOCKET_UNUSABLE");
    expect(await codeOf(serving({ socket: join(folder, "x".repeat(100)) }))).toBe("SOCKET_UNUSABLE");
  });

  it("answers a script that writes one line and closes its end", async () => {
    await serving();
    expect(await raw('{"id":7,"method":"add","params":{"a":1,"b":2}}\n')).toBe('{"id":7,"result":3}\n');
    expect(await raw('{"id":1,"method"', ':"nothing"}\r\n\n')).toBe('{"id":1,"result":null}\n');
  });

  it.each([
    "not json\n",
    "[]\n",
    "null\n",
    '{"id":"x","method":"add"}\n',
    '{"id":1.5,"method":"add"}\n',
    '{"id":1,"method":5}\n',
    '{"id":1,"method":"add","params":[]}\n',
    Buffer.from([0xff, 0xfe, 0x0a]),
  ])("refuses %j and lives on", async (line) => {
    await serving();
    expect(JSON.parse(await raw(line))).toMatchObject({ id: null, error: { code: "CONTROL_MALFORMED" } });
    expect(await raw('{"id":1,"method":"nothing"}\n')).toContain("result");
  });

  it("refuses a line without end before it fills the memory", async () => {
    await serving();
    const answer = await raw(...Array.from({ length: 5 }, () => "x".repeat(2 ** 20)), "\n");
    expect(JSON.parse(answer)).toMatchObject({ error: { code: "CONTROL_MALFORMED" } });
  });

  it("bounds the connections, and serves the next when one has gone", async () => {
    await serving({ maxConnections: 2 });
    const clients = [await ControlClient.connect(socket), await ControlClient.connect(socket)];
    await Promise.all(clients.map((client) => client.call("nothing")));
    const third = await ControlClient.connect(socket);
    expect(await codeOf(third.call("nothing"))).toBe("CONTROL_BUSY");
    clients[0]?.close();
    await expect
      .poll(async () => {
        const next = await ControlClient.connect(socket);
        const code = await codeOf(next.call("nothing"));
        next.close();
        return code;
      })
      .toBe("no error");
    clients[1]?.close();
  });

  it("runs no more than a few requests of one client at once", async () => {
    let running = 0;
    let most = 0;
    await serving({
      maxRequests: 4,
      handlers: {
        slow: async () => {
          most = Math.max(most, ++running);
          await new Promise((resolve) => setTimeout(resolve, 5));
          running--;
        },
      },
    });
    const client = await ControlClient.connect(socket);
    await Promise.all(Array.from({ length: 20 }, () => client.call("slow")));
    expect(most).toBe(4);
    client.close();
  });
});

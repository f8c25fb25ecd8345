import { once } from "node:events";
import { type IncomingMessage, type RequestOptions, request } from "node:http";
import { createConnection } from "node:net";
import type { FastifyInstance } from "fastify";
import { afterEach, describe, expect, it } from "vitest";
import { FakeClock } from "../../src/base/clock.ts";
import { TidegateError } from "../../src/base/errors.ts";
import { silentLog } from "../../src/base/log.ts";
import { Health } from "../../src/ops/health.ts";
import { isHostOurs, isLoopback, isOriginOurs, parseListen } from "../../src/ops/http-access.ts";
import { HttpServer, type HttpServerOptions } from "../../src/ops/http-server.ts";
import { Metrics } from "../../src/ops/metrics.ts";

const servers: HttpServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(2_000);
});

async function serving(more: Partial<HttpServerOptions> = {}) {
  const parts = [
    { name: "journal", need: "vital" },
    { name: "cloud", need: "optional" },
  ] as const;
  const health = new Health({ clock: new FakeClock(), parts });
  const metrics = new Metrics({ sources: { tidegate_buffer_bytes: () => 7 }, log: silentLog });
  let app: FastifyInstance | undefined;
  const server = new HttpServer({
    listen: "127.0.0.1:0",
    health: () => health.document,
    metrics,
    isTokenValid: (token) => token === "t0k",
    log: silentLog,
    routes: (instance) => {
      app = instance;
      instance.get("/api/boom", () => {
        throw new Error("secret detail");
      });
      instance.get("/api/shape", () => {
        throw new TidegateError("SHAPE_MISMATCH", { what: "x", expected: 1, actual: 2 });
      });
      instance.post("/api/echo", (asked) => asked.body);
    },
    ...more,
  });
  servers.push(server);
  await server.start();
  const url = new URL(server.url ?? "");
  const ask = (path: string, options: RequestOptions = {}, body = "") => asked(url, path, options, body);
  return { server, health, ask, url, app: () => app };
}

async function asked(url: URL, path: string, options: RequestOptions, body: string) {
  const outgoing = request({ host: url.hostname, port: url.port, path, ...options });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode, headers: response.headers, text };
}

describe("http", () => {
  it("answers 503 with the parts that are not well, and 200 whether or not a broker is there", async () => {
    const { ask, health } = await serving();
    const before = await ask("/healthz");
    expect(before.status).toBe(503);
    expect(JSON.parse(before.text)).toMatchObject({ status: "starting", parts: { journal: { state: "starting" } } });
    health.ready("journal");
    health.fail("cloud", "away");
    expect((await ask("/healthz")).status).toBe(200);
    health.fail("journal", "gone");
    expect((await ask("/healthz")).status).toBe(503);
  });

  it("shows the metrics", async () => {
    const { ask } = await serving();
    const { status, text, headers } = await ask("/metrics");
    expect(status).toBe(200);
    expect(text).toContain("tidegate_buffer_bytes 7\n");
    expect(headers["content-type"]).toContain("text/plain; version=0.0.4");
  });

  it("does not answer to names that are not its own, nor to pages of other sites", async () => {
    const { ask, url } = await serving({ names: ["Pump-House.example"] });
    const as = async (host: string, origin?: string) =>
      (await ask("/healthz", { headers: { host, ...(origin === undefined ? {} : { origin }) } })).status;
    for (const host of ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "localhost.evil.example"]) {
      expect(await as(host)).toBe(421);
    }
    for (const host of ["localhost:1", "127.0.0.1", "[::1]:8420", "192.168.1.7:8420", "pump-house.example"]) {
      expect(await as(host)).toBe(503);
    }
    expect(await as(url.host, "http://evil.example")).toBe(403);
    expect(await as(url.host, "null")).toBe(403);
    expect(await as(url.host, `http://${url.host}`)).toBe(503);
    const { headers } = await ask("/healthz");
    expect(headers).not.toHaveProperty("access-control-allow-origin");
    expect(headers).toMatchObject({ "x-content-type-options": "nosniff", "cache-control": "no-store" });
  });

  it("wants a token from other machines", async () => {
    const { app } = await serving();
    const from = async (remoteAddress: string, authorization?: string) => {
      const headers = { host: "10.0.0.1:8420", ...(authorization === undefined ? {} : { authorization }) };
      return (await app()?.inject({ url: "/metrics", remoteAddress, headers }))?.statusCode;
    };
    expect(await from("127.0.0.1")).toBe(200);
    expect(await from("::ffff:127.0.0.1")).toBe(200);
    expect(await from("10.0.0.9")).toBe(401);
    expect(await from("10.0.0.9", "Bearer wrong")).toBe(401);
    expect(await from("10.0.0.9", "Bearer t0k")).toBe(200);
  });

  it("tells the fault of a request, and nothing of its own", async () => {
    const { ask } = await serving();
    const boom = await ask("/api/boom");
    expect(boom.status).toBe(500);
    expect(boom.text).not.toContain("secret detail");
    const shape = await ask("/api/shape");
    expect(shape.status).toBe(400);
    expect(JSON.parse(shape.text)).toMatchObject({ error: { code: "SHAPE_MISMATCH" } });
    expect((await ask("/nothing")).status).toBe(404);
    const json = { method: "POST", headers: { "content-type": "application/json" } };
    expect((await ask("/api/echo", json, "{broken")).status).toBe(400);
    expect((await ask("/api/echo", json, JSON.stringify("x".repeat(70_000)))).status).toBe(413);
    expect((await ask("/api/echo", json, '{"a":1}')).text).toBe('{"a":1}');
  });

  it("survives garbage on its port", async () => {
    const { ask, url } = await serving();
    const socket = createConnection(Number(url.port), url.hostname);
    socket.on("error", () => {});
    socket.resume();
    socket.write("\x16\x03\x01garbage\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    expect((await ask("/metrics")).status).toBe(200);
  });

  it("says what is wrong with its address, and gives it free after a stop", async () => {
    const { server, url } = await serving();
    const codeOf = (listen: string) =>
      serving({ listen }).then(
        () => "no error",
        (thrown: unknown) => (thrown as TidegateError).code,
      );
    expect(await codeOf(url.host)).toBe("ADDRESS_IN_USE");
    expect(await codeOf("203.0.113.1:1")).toBe("ADDRESS_UNUSABLE");
    expect(await codeOf("nonsense")).toBe("ADDRESS_UNUSABLE");
    await server.stop(2_000);
    await server.stop(2_000);
    expect(server.url).toBeNull();
    expect(await codeOf(url.host)).toBe("no error");
  });

  it("stops though a client keeps its connection open", async () => {
    const { server, url } = await serving();
    const socket = createConnection(Number(url.port), url.hostname);
    await once(socket, "connect");
    const started = performance.now();
    await server.stop(2_000);
    expect(performance.now() - started).toBeLessThan(1_000);
    socket.destroy();
  });
});

describe("http access", () => {
  it("reads addresses to listen at", () => {
    expect(parseListen("127.0.0.1:8420")).toEqual({ host: "127.0.0.1", port: 8420 });
    expect(parseListen("[::1]:0")).toEqual({ host: "::1", port: 0 });
    for (const listen of ["8420", ":8420", "::1:8420", "a:b", "host:70000", ""]) expect(parseListen(listen)).toBeNull();
  });

  it("tells loopback from the rest", () => {
    for (const address of ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]) expect(isLoopback(address)).toBe(true);
    for (const address of ["128.0.0.1", "::2", "localhost", "", "::ffff:10.0.0.1"])
      expect(isLoopback(address)).toBe(false);
  });

  it("refuses hosts and origins that are no such thing", () => {
    for (const host of [undefined, "", "a b", "user@localhost", "[::1", "[zz]:1", "localhost/x"]) {
      expect(isHostOurs(host, [])).toBe(false);
    }
    expect(isOriginOurs("http://localhost", undefined)).toBe(false);
    expect(isOriginOurs("file://localhost", "localhost")).toBe(false);
  });
});

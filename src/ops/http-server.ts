import type { AddressInfo } from "node:net";
import { hostname } from "node:os";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, within } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { HealthDocument } from "./health.ts";
import { bearerOf, isHostOurs, isLoopback, isOriginOurs, parseListen } from "./http-access.ts";

export type HttpServerOptions = {
  /** `address:port`; port 0 takes any that is free. */
  readonly listen: string;
  health(): HealthDocument;
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
  /** Whether a bearer token lets in who asks from another machine. Absent: nobody does. */
  isTokenValid?(token: string): boolean;
  /** Further names by which this machine is called. */
  readonly names?: readonly string[];
  /** Further routes; what they serve is theirs to protect. */
  routes?(app: FastifyInstance): void | Promise<void>;
  readonly log: Log;
};

const maxConnections = 64;
const maxBodyBytes = 64 * 1024;
const requestTimeoutMs = 10_000;

/**
 * Serves /healthz, /metrics and what is injected. Requests under a foreign Host or Origin are refused. From this machine
 * nothing more is needed; from others a token is.
 */
export class HttpServer implements Component {
  readonly name = "http";
  readonly #options: HttpServerOptions;
  readonly #names: readonly string[];
  #app: FastifyInstance | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const own = hostname().toLowerCase();
    this.#names = [
      own,
      `${own}.local`,
      ...(options.names ?? []).map((name) => name.toLowerCase()),
      hostOf(options.listen),
    ];
  }

  /** Where it listens, e.g. `http://127.0.0.1:8420`; null while it does not. */
  get url(): string | null {
    const address = this.#app?.server.address() as AddressInfo | null | undefined;
    if (!address) return null;
    return `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /** Nobody but this machine can reach it. */
  get isLocal(): boolean {
    const address = this.#app?.server.address() as AddressInfo | null | undefined;
    return !address || isLoopback(address.address);
  }

  /** @throws TidegateError ADDRESS_IN_USE (75), ADDRESS_UNUSABLE (78) */
  async start(): Promise<void> {
    const { listen, routes, log } = this.#options;
    const place = parseListen(listen);
    if (place === null)
      throw new TidegateError("ADDRESS_UNUSABLE", { address: listen, reason: "it is no address:port" });
    const { default: fastify } = await import("fastify");
    const app = fastify({
      bodyLimit: maxBodyBytes,
      requestTimeout: requestTimeoutMs,
      connectionTimeout: 2 * requestTimeoutMs,
      forceCloseConnections: true,
      http: { maxHeaderSize: 16 * 1024 },
    });
    this.#app = app;
    app.server.maxConnections = maxConnections;
    app.addHook("onRequest", async (request, reply) => this.#admit(request, reply));
    app.setErrorHandler((error, request, reply) => {
      const status = (error as { statusCode?: number }).statusCode ?? statusOf(error);
      if (status >= 500) log.error({ error, method: request.method, path: pathOf(request) }, "http request failed");
      const shown =
        error instanceof TidegateError ? error.toJSON() : { message: status >= 500 ? "failed" : reasonOf(error) };
      return reply.code(status).send({ error: shown });
    });
    app.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: { message: "there is no such page" } }));
    this.#serveOwn(app);
    try {
      await routes?.(app);
      await app.listen({ host: place.host, port: place.port });
    } catch (thrown) {
      await this.stop(1_000);
      if (thrown instanceof TidegateError) throw thrown;
      const { code } = thrown as { code?: string };
      if (code === "EADDRINUSE") throw new TidegateError("ADDRESS_IN_USE", { address: listen });
      throw new TidegateError("ADDRESS_UNUSABLE", { address: listen, reason: reasonOf(thrown) }, { cause: thrown });
    }
    // Too many open files, for one: this connection is lost, the next may be taken.
    app.server.on("error", (error) => log.warn({ reason: error.message }, "http connection not taken"));
    log.debug({ url: this.url }, "http listens");
  }

  async stop(deadlineMs: number): Promise<void> {
    const app = this.#app;
    this.#app = undefined;
    if (app !== undefined) await within(app.close(), deadlineMs, "closing http");
  }

  #serveOwn(app: FastifyInstance): void {
    const { health, metrics } = this.#options;
    const admitted = { onRequest: async (request: FastifyRequest) => this.#requireTokenFromAfar(request) };
    app.get("/healthz", admitted, (_request, reply) => {
      const document = health();
      return reply.code(document.isHealthy ? 200 : 503).send(document);
    });
    app.get("/metrics", admitted, async (_request, reply) => {
      reply.type(metrics.contentType);
      return metrics.render();
    });
  }

  #admit(request: FastifyRequest, reply: FastifyReply): void {
    const { host, origin } = request.headers;
    reply.headers({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    });
    if (!isHostOurs(host, this.#names)) throw refusal(421, "this server does not go by that name");
    if (!isOriginOurs(origin, host)) throw refusal(403, "pages of other sites may not ask");
  }

  #requireTokenFromAfar(request: FastifyRequest): void {
    if (isLoopback(request.socket.remoteAddress ?? "")) return;
    const token = bearerOf(request.headers.authorization);
    if (token === undefined || this.#options.isTokenValid?.(token) !== true) throw refusal(401, "a token is needed");
  }
}

/** A name that it was told to listen at is one of its own. */
const hostOf = (listen: string): string => parseListen(listen)?.host.toLowerCase() ?? "localhost";

const refusal = (statusCode: number, message: string) => Object.assign(new Error(message), { statusCode });

const pathOf = (request: FastifyRequest): string => request.url.split("?", 1)[0] ?? "";

function statusOf(error: unknown): number {
  if (!(error instanceof TidegateError)) return 500;
  switch (error.kind) {
    case "reject":
      return 400;
    case "deny":
      return 403;
    case "retry":
    case "shed":
      return 503;
    default:
      return 500;
  }
}

import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { type BlobFetchOptions, type ChunkSource, fetchBlob, retainedChunks } from "../../src/control/blob-fetch.ts";
import { blobHash } from "../../src/control/blob-hash.ts";
import { chunkBytes } from "../../src/control/model-manifest.ts";
import { publishBlob, retireBlob } from "../../src/coordinator/blob-publisher.ts";
import type { Link } from "../../src/wire/link.ts";
import type { LinkSubscription } from "../../src/wire/link-options.ts";
import { matchesFilter } from "../../src/wire/topics.ts";
import { openLink, until } from "../support/links.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";

const topic = (sha256: string, n: number) => `tidegate/v1/demo/models/m/blob/${sha256}/${n}`;

describeReal("a model file on its way to a gateway", () => {
  let broker: Mosquitto;
  let dir: string;
  let ends: (() => Promise<unknown>)[];

  beforeEach(async () => {
    broker = await startMosquitto();
    dir = mkdtempSync(join(tmpdir(), "tidegate-blob-"));
    ends = [];
  });
  afterEach(async () => {
    for (const end of ends.reverse()) await end();
    await broker.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const linkOf = async (clientId: string, onMessage: (topic: string, payload: Uint8Array) => void = () => {}) => {
    const { link } = openLink(broker.url, {
      clientId,
      subscriptions: [],
      ack: "auto",
      onMessage: ({ topic, payload }) => onMessage(topic, payload),
    });
    ends.push(() => link.stop(1_000));
    await link.online(5_000);
    return link;
  };

  /** What a gateway listens with: routes over one link. */
  const gateway = async () => {
    const asked: string[] = [];
    const routes = new Set<Parameters<Parameters<typeof retainedChunks>[0]["listen"]>[0]>();
    const link: Link = await linkOf("gateway", (at, payload) => {
      for (const route of routes) if (matchesFilter(route.filter, at)) route.onMessage({ topic: at, payload });
    });
    const reconcile = () => {
      const wanted = [...routes].map(({ filter }): LinkSubscription => ({ topic: filter, qos: 1, retained: "each" }));
      return link.reconcile(wanted);
    };
    const source = retainedChunks(
      {
        listen: (route) => {
          asked.push(route.filter);
          routes.add(route);
          void reconcile();
          return () => {
            routes.delete(route);
            return reconcile();
          };
        },
      },
      topic,
    );
    return { source, asked };
  };

  const options = (source: ChunkSource, more: Partial<BlobFetchOptions> = {}): BlobFetchOptions => ({
    ...{ dir, source, log: silentLog, random: () => 0, signal: new AbortController().signal, timeoutMs: 2_000 },
    ...more,
  });

  const published = async (bytes: Uint8Array) => {
    const publisher = await linkOf("publisher");
    const publish = (at: string, payload: Uint8Array, { retain }: { retain: boolean }) =>
      publisher.publish(at, payload, { qos: 1, retain });
    expect(await publishBlob(bytes, topic, publish)).toEqual([]);
    return publish;
  };

  it("arrives whole, chunk by chunk, and is not fetched twice", async () => {
    const bytes = new Uint8Array(randomBytes(3 * chunkBytes + 17));
    await published(bytes);
    const { source, asked } = await gateway();
    const blob = { sha256: blobHash(bytes), size: bytes.length };
    const file = await fetchBlob(blob, options(source));
    expect(blobHash(readFileSync(file))).toBe(blob.sha256);
    expect(asked).toHaveLength(4);
    await fetchBlob(blob, options(source));
    expect(asked).toHaveLength(4);
  });

  it("goes on after an outage of the broker and a restart of the gateway, with what it has", async () => {
    const bytes = new Uint8Array(randomBytes(6 * chunkBytes));
    await published(bytes);
    const { source, asked } = await gateway();
    const blob = { sha256: blobHash(bytes), size: bytes.length };
    const life = new AbortController();
    const cutOff: ChunkSource = {
      chunk: async (sha256, n, timeoutMs, signal) => {
        if (n === 3) {
          await broker.pause();
          life.abort();
        }
        return source.chunk(sha256, n, timeoutMs, signal);
      },
    };
    await expect(fetchBlob(blob, options(cutOff, { signal: life.signal }))).rejects.toThrow(/stopped/);
    const part = join(dir, `${blob.sha256}.part`);
    expect(statSync(part).size).toBe(3 * chunkBytes);
    // A crash may leave a piece of a chunk behind.
    truncateSync(part, 2 * chunkBytes + 5);
    await broker.restart();
    asked.length = 0;
    const file = await fetchBlob(blob, options(source, { timeoutMs: 5_000 }));
    expect(blobHash(readFileSync(file))).toBe(blob.sha256);
    expect(asked[0]).toBe(topic(blob.sha256, 2));
  });

  it("is fetched anew when a chunk was damaged, and given up when it stays so", async () => {
    const bytes = new Uint8Array(randomBytes(2 * chunkBytes));
    const publish = await published(bytes);
    const { source } = await gateway();
    const blob = { sha256: blobHash(bytes), size: bytes.length };
    const damaged = bytes.slice(0, chunkBytes);
    damaged[100] = (damaged[100] ?? 0) ^ 1;
    await publish(topic(blob.sha256, 0), damaged, { retain: true });
    await expect(fetchBlob(blob, options(source))).rejects.toMatchObject({ code: "BLOB_DAMAGED" });
    await publish(topic(blob.sha256, 0), bytes.subarray(0, chunkBytes), { retain: true });
    await fetchBlob(blob, options(source));
  });

  it("that was retired does not come, and says which chunk is missing", async () => {
    const bytes = new Uint8Array(randomBytes(chunkBytes + 1));
    const publish = await published(bytes);
    const blob = { sha256: blobHash(bytes), size: bytes.length };
    await retireBlob(blob.sha256, blob.size, topic, publish);
    const { source } = await gateway();
    const given = fetchBlob(blob, options(source, { timeoutMs: 100, maxSilences: 2 }));
    await expect(given).rejects.toThrow(/chunk 0 of 2 does not come/);
  });

  it("comes from a URL first, from where it had come to; a server that lies or is away leaves it to the broker", async () => {
    const bytes = new Uint8Array(randomBytes(2 * chunkBytes + 100));
    const blob = { sha256: blobHash(bytes), size: bytes.length };
    const ranges: (string | undefined)[] = [];
    let body = Buffer.from(bytes);
    const server = createServer((request, response) => {
      ranges.push(request.headers.range);
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      const head = { "content-range": `bytes ${from}-${body.length - 1}/${body.length}` };
      response.writeHead(from > 0 ? 206 : 200, from > 0 ? head : {}).end(body.subarray(from));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ends.push(() => new Promise((resolve) => server.close(resolve)));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const url = `http://127.0.0.1:${port}/model.onnx`;
    const { source, asked } = await gateway();

    writeFileSync(join(dir, `${blob.sha256}.part`), bytes.subarray(0, 70_000));
    const file = await fetchBlob({ ...blob, url }, options(source));
    expect(blobHash(readFileSync(file))).toBe(blob.sha256);
    expect(ranges).toEqual(["bytes=70000-"]);
    expect(asked).toEqual([]);

    rmSync(file);
    await published(bytes);
    body = Buffer.concat([Buffer.from("an error page"), Buffer.alloc(bytes.length)]);
    await fetchBlob({ ...blob, url }, options(source));
    rmSync(file);
    await fetchBlob({ ...blob, url: `http://127.0.0.1:1/` }, options(source));
    rmSync(file);
    await fetchBlob({ ...blob, url: "http://example.com/model.onnx" }, options(source));
    await until(() => asked.length >= 9, "the broker is asked each time");
  });
});

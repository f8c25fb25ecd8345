import { connect, createServer, type Socket } from "node:net";
import { afterEach, expect } from "vitest";
import type { Result } from "../../src/base/result.ts";
import { Daemon, moteStream, type RawConfig } from "./daemon.ts";
import { type Mosquitto, type MosquittoOptions, startMosquitto } from "./mosquitto.ts";
import { Listener, Publisher } from "./publisher.ts";

const stops: (() => unknown)[] = [];

/** Runs when the test has ended, the latest first. */
export const atEnd = (stop: () => unknown): void => void stops.push(stop);

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

export const moteFields = Object.keys(moteStream.fields);

export type Site = { readonly broker: Mosquitto; readonly sensors: Publisher; readonly listener: Listener };

/** A site: a broker that queues without limit, four motes, and somebody who hears everything of Tidegate's. */
export async function openSite(options: MosquittoOptions = {}): Promise<Site> {
  const broker = await startMosquitto({ ...options, conf: ["max_queued_messages 0", ...(options.conf ?? [])] });
  atEnd(() => broker.stop());
  const sensors = await Publisher.connect(broker.url);
  atEnd(() => sensors.close());
  const listener = await Listener.connect(broker.url, "tidegate/#");
  atEnd(() => listener.close());
  return { broker, sensors, listener };
}

/** A daemon with the motes' stream; it is killed and removed when the test ends. */
export function daemonAt(url: string, rest: RawConfig = {}): Daemon {
  const daemon = new Daemon({ sensors: { url }, streams: { env: moteStream }, ...rest });
  atEnd(() => daemon.remove());
  return daemon;
}

/** Waits for results of so many different windows; gives them all, repeats too. */
export async function results(listener: Listener, count: number, timeout = 15_000): Promise<Result[]> {
  const given: Result[] = [];
  const ids = new Set<string>();
  let seen = 0;
  const distinct = () => {
    for (const { topic, text } of listener.messages.slice(seen)) {
      if (!topic.startsWith("tidegate/gw-1/results/")) continue;
      const result = JSON.parse(text) as Result;
      given.push(result);
      ids.add(result.id);
    }
    seen = listener.messages.length;
    return ids.size;
  };
  await expect.poll(distinct, { timeout }).toBe(count);
  return given;
}

/** The results that four motes in turn give after so many readings: none before a window of 16 is full. */
export const windowsOf = (readings: number): number => Math.max(0, readings - 4 * 15);

export type Line = {
  readonly url: string;
  /** Holds back what the client sends; the broker goes on sending. What is held back when the line is cut is lost. */
  hold(isHeld: boolean): void;
  /** Ends every connection. */
  cut(): void;
};

/** A line between the daemon and the broker on `port`. */
export async function layLine(port: number): Promise<Line> {
  const sockets = new Set<Socket>();
  const near = new Set<Socket>();
  let isHeld = false;
  const server = createServer((client) => {
    const broker = connect(port, "127.0.0.1");
    near.add(client);
    for (const socket of [client, broker]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.on("data", (chunk) => broker.write(chunk)).on("close", () => near.delete(client));
    broker.on("data", (chunk) => client.write(chunk)).on("close", () => client.destroy());
    if (isHeld) client.pause();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  atEnd(() => {
    cut();
    server.close();
  });
  return {
    url: `mqtt://127.0.0.1:${address.port}`,
    hold: (held) => {
      isHeld = held;
      for (const client of near)
        if (held) client.pause();
        else client.resume();
    },
    cut,
  };
}

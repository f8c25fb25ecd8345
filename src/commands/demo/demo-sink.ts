import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { GatewayTrust } from "../../coordinator/gateway-trust.ts";
import { NdjsonOutput } from "../../coordinator/ndjson-output.ts";
import { Sink } from "../../coordinator/sink.ts";
import { FileSinkStore } from "../../coordinator/sink-store.ts";
import { ephemeralKeyRing } from "../../crypto/key-ring.ts";
import { Link } from "../../wire/link.ts";

export type DemoSinkOptions = {
  readonly url: string;
  /** Public key that the demo's gateway signs with. */
  readonly gatewayKey: Uint8Array;
  readonly dir: string;
  readonly log: Log;
};

/** The demo's cloud: a sink with keys of its own that writes files into the demo's directory. */
export class DemoSink {
  readonly #sink: Sink;
  readonly #link: Link;
  /** The sink's public key, as a gateway's configuration names it. */
  readonly dataKey: string;

  private constructor(sink: Sink, link: Link, dataKey: string) {
    this.#sink = sink;
    this.#link = link;
    this.dataKey = dataKey;
  }

  static async start({ url, gatewayKey, dir, log }: DemoSinkOptions): Promise<DemoSink> {
    const { box, signer } = ephemeralKeyRing();
    let sink: Sink | undefined;
    const link = new Link({
      name: "sink",
      settings: { url, protocol: "3.1.1", receiveMaximum: 1_000, sessionExpiry: 3_600_000, keepalive: 30_000 },
      clientId: "demo-sink",
      credentials: {},
      subscriptions: [],
      ack: "auto",
      maxPacket: 262_144,
      onMessage: ({ topic, payload }) => sink?.receive(topic, payload),
      onState: () => sink?.linkChanged(),
      clock: systemClock,
      log,
      random: Math.random,
    });
    sink = new Sink({
      link,
      store: new FileSinkStore(join(dir, "sink.state")),
      output: new NdjsonOutput({ dir: join(dir, "sink") }),
      trust: new GatewayTrust({ "demo/demo-gateway": [Buffer.from(gatewayKey).toString("base64")] }, false, log),
      keys: [box],
      signer,
      // The embedded broker delivers nothing to shared subscriptions.
      share: "never",
      clock: systemClock,
      log,
    });
    await sink.start();
    await link.start();
    return new DemoSink(sink, link, Buffer.from(box.publicKey).toString("base64"));
  }

  /** Lines that are written and confirmed. */
  get messages(): number {
    return this.#sink.counters.lines;
  }

  /** Waits until nothing is owed any more; false when that takes longer than `timeoutMs`. */
  async expect(owed: () => Promise<number>, timeoutMs: number): Promise<boolean> {
    const end = performance.now() + timeoutMs;
    while ((await owed()) > 0) {
      if (performance.now() > end) return false;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return true;
  }

  async stop(): Promise<void> {
    await this.#sink.stop();
    await this.#link.stop(1_000);
  }
}

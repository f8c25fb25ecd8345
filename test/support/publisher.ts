import { connectAsync, type MqttClient } from "mqtt";

export type MoteReading = { readonly ts: number; readonly humidity: number; readonly temperature: number };

/** A reading by its number: no two have the same time, and no two windows look alike. */
export const readingOf = (n: number, startTs: number): MoteReading => ({
  ts: startTs + n,
  humidity: 40 + ((n * 7_919) % 1_000) / 1_000,
  temperature: 20 + Math.floor(n / 1_000) / 1_000,
});

/** A sensor, or several, that publish with QoS 1 and know what the broker has acknowledged. */
export class Publisher {
  readonly #client: MqttClient;
  readonly #startTs: number;
  readonly #motes: number;
  #next = 0;
  #waiting = 0;
  /** Readings that the broker acknowledged, by number, with the time at which it did. */
  readonly #acknowledged = new Map<number, number>();

  private constructor(client: MqttClient, startTs: number, motes: number) {
    this.#client = client;
    this.#startTs = startTs;
    this.#motes = motes;
  }

  /** @param motes  readings go to them in turn */
  static async connect(url: string, { motes = 4, startTs = Date.now() - 3_600_000 } = {}): Promise<Publisher> {
    const client = await connectAsync(url, { clientId: `sensors-${process.pid}-${startTs}`, reconnectPeriod: 100 });
    client.on("error", () => {});
    return new Publisher(client, startTs, motes);
  }

  /** Readings that were sent. */
  get sent(): number {
    return this.#next;
  }

  /** How many readings the broker acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** When the broker acknowledged a reading, ms; NaN when it has not. */
  acknowledgedAt(n: number): number {
    return this.#acknowledged.get(n) ?? Number.NaN;
  }

  moteOf(n: number): string {
    return `m${n % this.#motes}`;
  }

  reading(n: number): MoteReading {
    return readingOf(n, this.#startTs);
  }

  /** The number of the reading with this time. */
  numberOf(ts: number): number {
    return ts - this.#startTs;
  }

  /** Sends the next `count` readings and waits until the broker has them all. */
  async send(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#sendNext()));
  }

  /** Sends readings at a rate (per second) until the signal aborts, and waits until the broker has them all. */
  async run(rate: number, signal: AbortSignal): Promise<void> {
    const begin = performance.now();
    const first = this.#next;
    while (!signal.aborted && !this.#client.disconnecting) {
      const due = first + Math.floor(((performance.now() - begin) / 1_000) * rate);
      // A sensor's own queue is bounded, too: while the broker is away it stops measuring.
      while (this.#next < due && this.#waiting < 1_000) void this.#sendNext();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    while (this.#waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async #sendNext(): Promise<void> {
    const n = this.#next++;
    this.#waiting++;
    const payload = JSON.stringify(this.reading(n));
    try {
      await this.#client.publishAsync(`motes/${this.moteOf(n)}/env`, payload, { qos: 1 });
      this.#acknowledged.set(n, Date.now());
    } catch {
      // It was closed before the broker had answered: nothing was promised.
    } finally {
      this.#waiting--;
    }
  }

  /** Publishes anything anywhere. */
  async raw(topic: string, payload: string | Buffer, options: { qos?: 0 | 1; retain?: boolean } = {}): Promise<void> {
    await this.#client.publishAsync(topic, payload, { qos: 1, ...options });
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}

export type Received = { readonly topic: string; readonly text: string; readonly retain: boolean };

/** Somebody at the site who wants to know: keeps everything, over restarts of the broker too. */
export class Listener {
  readonly #client: MqttClient;
  readonly messages: Received[] = [];

  private constructor(client: MqttClient) {
    this.#client = client;
  }

  /** @param take  called for each message instead of keeping it: for those who listen for long */
  static async connect(url: string, filter: string, take?: (message: Received) => void): Promise<Listener> {
    const clientId = `listener-${process.pid}-${Math.random().toString(36).slice(2)}`;
    const client = await connectAsync(url, {
      ...{ clientId, clean: false, protocolVersion: 5, reconnectPeriod: 100 },
      properties: { sessionExpiryInterval: 3_600, receiveMaximum: 65_535 },
    });
    client.on("error", () => {});
    const listener = new Listener(client);
    client.on("message", (topic, payload, { retain }) => {
      const message = { topic, text: payload.toString(), retain };
      if (take) take(message);
      else listener.messages.push(message);
    });
    await client.subscribeAsync(filter, { qos: 1 });
    return listener;
  }

  /** The messages below a topic, parsed. */
  json<T>(prefix: string): T[] {
    return this.messages.filter(({ topic }) => topic.startsWith(prefix)).map(({ text }) => JSON.parse(text) as T);
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }
}

import { reasonOf } from "../base/errors.ts";
import { type Component, within } from "../base/lifecycle.ts";
import { isVersionRefusal, MqttConnection, type MqttEnd, type MqttMessage, type MqttOpening } from "../drivers/mqtt.ts";
import { AckGate } from "./ack-gate.ts";
import { Backoff } from "./backoff.ts";
import { brokerAddress, type LinkOptions, type LinkSubscription } from "./link-options.ts";
import { ProtocolChoice } from "./link-protocol.ts";
import { contentHash, Redelivery } from "./link-redelivery.ts";
import { Outgoing, type PublishAnswer, type PublishOptions } from "./outgoing.ts";
import { matchesFilter } from "./topics.ts";

const connectTimeoutMs = 10_000;
const backoff = { baseMs: 1_000, maxMs: 60_000 };
/** A connection that is closed so soon after it was taken counts as a kick; three in a row mean a second client with our id. */
const kickMs = 5_000;
const maxKicks = 3;
const kickPauseMs = 60_000;

/**
 * A connection to one broker that is made again whenever it ends. Held acknowledgements belong to one connection;
 * subscriptions and messages on their way out belong to the link.
 */
export class Link implements Component {
  readonly name: string;
  readonly #options: LinkOptions;
  readonly #gate: AckGate;
  readonly #redelivery = new Redelivery();
  readonly #outgoing = new Outgoing();
  readonly #backoff: Backoff;
  readonly #protocol: ProtocolChoice;
  #subscriptions: readonly LinkSubscription[];
  /** Filters that the broker's session holds, as far as we know. */
  #subscribed: Set<string>;
  #connection: MqttConnection | undefined;
  #version: 4 | 5 = 5;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #isOnline = false;
  #hadSession: boolean;
  #openedAt = 0;
  #kicks = 0;
  #lastEnd = "";
  readonly counters = { received: 0, retainedIgnored: 0, connections: 0, sessionsLost: 0, repeats: 0 };

  constructor(options: LinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#subscriptions = options.subscriptions;
    this.#subscribed = new Set(options.former ?? []);
    this.#hadSession = options.expectsSession ?? false;
    this.#backoff = new Backoff(backoff, options.random);
    this.#protocol = new ProtocolChoice(options.settings.protocol);
    this.#gate = new AckGate((ids) => this.#connection?.acknowledge(ids));
  }

  /** Starts to connect. A broker that is away is no failure: it is tried again for ever. */
  async start(): Promise<void> {
    this.#isStopped = false;
    this.#connect();
  }

  /** Says farewell and closes; what has not gone out by then is given up. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    const { farewell } = this.#options;
    if (this.#isOnline && farewell) {
      const said = this.publish(farewell.topic, farewell.payload, { qos: 1, retain: true });
      await within(said, Math.min(2_000, deadlineMs / 2), "the farewell").catch(() => {});
    }
    this.#connection?.close();
    this.#outgoing.end();
  }

  publish(topic: string, payload: string | Uint8Array, options: PublishOptions): Promise<PublishAnswer> {
    return this.#outgoing.publish(topic, payload, options);
  }

  /** Acknowledges every held message up to this ticket, in the order in which they came. */
  release(ticket: number): void {
    this.#gate.release(ticket);
  }

  /** The newest message's ticket: a commit that was collected now answers for everything up to it. */
  get lastTicket(): number {
    return this.#gate.lastTicket;
  }

  get held(): number {
    return this.#gate.held;
  }

  /** Messages that may be held at once before the broker stops sending. */
  get window(): number {
    // MQTT 3.1.1 has no such word: mosquitto, for one, then sends 20.
    return this.#version === 5 ? this.#options.settings.receiveMaximum : 20;
  }

  get state() {
    return {
      url: this.#options.settings.url,
      isOnline: this.#isOnline,
      protocol: this.#version === 5 ? "5" : "3.1.1",
      held: this.held,
      queued: this.#outgoing.queued,
      lastEnd: this.#lastEnd,
      ...this.counters,
      ...this.#outgoing.counters,
    };
  }

  /** Changes what is subscribed, now or at the next connection. */
  async reconcile(subscriptions: readonly LinkSubscription[]): Promise<void> {
    this.#subscriptions = subscriptions;
    if (this.#connection?.isOpen) await this.#subscribe(this.#connection, true);
  }

  #connect(): void {
    const { settings, credentials, clientId, will, ack, maxPacket } = this.#options;
    const { host, port, isTls } = brokerAddress(settings.url);
    this.#version = this.#protocol.next();
    const { tls, ...user } = credentials;
    const connection: MqttConnection = new MqttConnection(
      {
        ...{ host, port, clientId, maxPacket, connectTimeoutMs },
        ...(isTls ? { tls: tls ?? {} } : {}),
        ...user,
        ...(will ? { will } : {}),
        version: this.#version,
        sessionExpiry: Math.ceil(settings.sessionExpiry / 1000),
        receiveMaximum: settings.receiveMaximum,
        keepalive: Math.ceil(settings.keepalive / 1000),
        isAutomatic: ack === "auto",
      },
      {
        onOpen: (opening) => void this.#opened(connection, opening),
        onMessage: (message) => this.#receive(message),
        onEnd: (end) => this.#ended(end),
      },
    );
    this.#connection = connection;
    connection.open();
  }

  async #opened(connection: MqttConnection, opening: MqttOpening): Promise<void> {
    const { log, birth, name, settings } = this.#options;
    this.#protocol.accepted();
    this.#openedAt = this.#options.clock.monotonic();
    this.counters.connections++;
    if (!opening.isSessionPresent) {
      if (this.#hadSession) {
        this.counters.sessionsLost++;
        log.warn({ link: name }, "the broker has lost the session: what it had queued is gone");
      }
      this.#redelivery.forget();
      this.#subscribed.clear();
    }
    this.#hadSession = settings.sessionExpiry > 0;
    const isSubscribed = await this.#subscribe(connection, opening.isSessionPresent);
    if (!isSubscribed || connection !== this.#connection || !connection.isOpen) return;
    this.#outgoing.open(connection, opening.receiveMaximum);
    if (birth) {
      const { topic, payload } = birth();
      await this.publish(topic, payload, { qos: 1, retain: true }).catch(() => {});
      if (connection !== this.#connection || !connection.isOpen) return;
    }
    this.#isOnline = true;
    this.#backoff.succeeded();
    log.info({ link: name, protocol: this.#version === 5 ? "5" : "3.1.1" }, "broker connected");
    this.#options.onState?.("online", "");
  }

  /** Brings the broker's subscriptions to what is wanted. False when the connection ended or a filter was refused. */
  async #subscribe(connection: MqttConnection, hasSession: boolean): Promise<boolean> {
    const wanted = new Map(this.#subscriptions.map((subscription) => [subscription.topic, subscription]));
    const gone = [...this.#subscribed].filter((topic) => !wanted.has(topic));
    if (hasSession && gone.length > 0) await connection.unsubscribe(gone);
    for (const topic of gone) this.#subscribed.delete(topic);
    // MQTT 5 can be asked not to repeat retained messages; before, a subscription that is there is left alone.
    const missing = [...wanted.values()].filter(({ topic }) => this.#version === 5 || !this.#subscribed.has(topic));
    if (missing.length === 0) return connection.isOpen;
    const codes = await connection.subscribe(
      missing.map(({ topic, qos, retained }) => ({ topic, qos, retainHandling: retained === "first" ? 1 : 2 })),
    );
    if (codes === null) return false;
    missing.forEach(({ topic, qos }, i) => {
      const code = codes[i] ?? 128;
      const { log, name } = this.#options;
      if (code >= 128)
        log.error({ link: name, topic, code }, "the broker refuses a subscription: look at its access rules");
      else {
        this.#subscribed.add(topic);
        if (code < qos)
          log.warn(
            { link: name, topic, qos: code },
            "the broker grants a lower quality of service: it may lose messages",
          );
      }
    });
    return connection.isOpen;
  }

  #receive(message: MqttMessage): void {
    this.counters.received++;
    const payload = typeof message.payload === "string" ? Buffer.from(message.payload) : message.payload;
    const { topic, retain, dup } = message;
    const isGated = this.#options.ack === "gated" && message.qos > 0;
    const packetId = message.messageId ?? 0;
    if (retain && !this.#takesRetained(topic)) {
      this.counters.retainedIgnored++;
      if (isGated) this.#gate.pass(packetId, 0);
      return;
    }
    let repeat: "no" | "maybe" | "certain" = "no";
    if (isGated) {
      if (this.#gate.isFull) {
        this.#connection?.abort("protocol", "more messages under way than there are packet ids");
        return;
      }
      const hash = contentHash(topic, payload);
      repeat = this.#redelivery.judge(packetId, dup, hash);
      if (repeat === "certain") this.counters.repeats++;
      this.#gate.hold(packetId, hash);
    }
    try {
      this.#options.onMessage({ topic, payload, qos: message.qos === 0 ? 0 : 1, retain, repeat });
    } catch (thrown) {
      this.#options.log.error({ link: this.name, reason: reasonOf(thrown) }, "a message was not taken");
    }
  }

  #takesRetained(topic: string): boolean {
    return this.#subscriptions.some((wanted) => wanted.retained === "first" && matchesFilter(wanted.topic, topic));
  }

  #ended(end: MqttEnd): void {
    const { log, name, clock } = this.#options;
    const wasOnline = this.#isOnline;
    this.#connection = undefined;
    this.#isOnline = false;
    this.#outgoing.close();
    this.#gate.discard((packetId, hash) => this.#redelivery.remember(packetId, hash));
    if (this.#isStopped) return;
    const isRepeated = end.reason === this.#lastEnd && !wasOnline;
    this.#lastEnd = end.reason;
    const pauseMs = this.#pauseAfter(end, clock.monotonic());
    const facts = { link: name, why: end.why, reason: end.reason, retryMs: pauseMs };
    if (isRepeated) log.debug(facts, "no connection to the broker");
    else log.warn(facts, wasOnline ? "connection to the broker lost" : "no connection to the broker");
    if (wasOnline || !isRepeated) this.#options.onState?.("offline", end.reason);
    this.#timer = setTimeout(() => this.#connect(), pauseMs);
  }

  #pauseAfter(end: MqttEnd, now: number): number {
    if (isVersionRefusal(end) && this.#protocol.refused()) return 0;
    if (end.why === "closed" && end.wasConnected && this.#openedAt === 0) this.#protocol.closedSilently();
    const wasKicked =
      end.why === "taken" || (this.#openedAt > 0 && now - this.#openedAt < kickMs && end.why === "closed");
    this.#openedAt = 0;
    this.#kicks = wasKicked ? this.#kicks + 1 : 0;
    if (this.#kicks >= maxKicks) {
      const { log, name, clientId } = this.#options;
      log.error(
        { link: name, clientId },
        "kicked again and again: another client uses the same client id; set `clientId`",
      );
      this.#kicks = 0;
      return kickPauseMs;
    }
    return this.#backoff.next();
  }
}

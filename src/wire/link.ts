import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Component, within } from "../base/lifecycle.ts";
import { MqttConnection, type MqttEnd, type MqttOpening } from "../drivers/mqtt.ts";
import { carryOut } from "./link-conversation.ts";
import { endError, refusalReason } from "./link-errors.ts";
import { brokerAddress, type LinkOptions, type LinkSubscription } from "./link-options.ts";
import { Receiver } from "./link-receiver.ts";
import { Reconnect } from "./link-reconnect.ts";
import { LinkSecurity } from "./link-security.ts";
import { Subscriptions } from "./link-subscriptions.ts";
import { Outgoing, type PublishAnswer, type PublishOptions } from "./outgoing.ts";

const connectTimeoutMs = 10_000;
/** Access rules change without a word to the clients: what was refused is asked for again. */
const askAgainMs = 60_000;
/** MQTT 3.1.1 does not say how many messages a broker sends ahead of their acknowledgements; mosquitto sends 20. */
const assumedWindow = 20;

/**
 * A connection to one broker that is made again whenever it ends. Held acknowledgements belong to one connection;
 * subscriptions and messages on their way out belong to the link. Nothing that a peer sends makes it throw.
 */
export class Link implements Component {
  readonly name: string;
  readonly #options: LinkOptions;
  readonly #receiver: Receiver;
  readonly #outgoing = new Outgoing();
  readonly #reconnect: Reconnect;
  readonly #subscriptions: Subscriptions;
  readonly #security: LinkSecurity;
  #connection: MqttConnection | undefined;
  #version: 4 | 5 = 5;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = true;
  #isOnline = false;
  #hadSession: boolean;
  #openedAt: number | null = null;
  #error: TidegateError | null = null;
  /** Conversations about subscriptions, one after the other. */
  #talk: Promise<unknown> = Promise.resolve();
  readonly #watchers = new Set<(error: TidegateError | null) => void>();
  readonly #counters = { connections: 0, sessionsLost: 0, kicks: 0 };

  constructor(options: LinkOptions) {
    this.name = options.name;
    this.#options = options;
    this.#security = new LinkSecurity(options.settings.url, options.credentials.tls);
    this.#subscriptions = new Subscriptions(options.subscriptions, options.former ?? []);
    this.#hadSession = options.expectsSession ?? false;
    this.#reconnect = new Reconnect(options.settings.protocol, options.random, options.backoff);
    this.#receiver = new Receiver({
      name: options.name,
      isGated: options.ack === "gated",
      ownPrefix: options.ownPrefix,
      subscriptions: this.#subscriptions,
      acknowledge: (packetIds) => this.#connection?.acknowledge(packetIds),
      maxHeld: options.settings.receiveMaximum,
      onRoom: () => this.#connection?.resume(),
      onMessage: options.onMessage,
      clock: options.clock,
      log: options.log,
    });
  }

  /**
   * Starts to connect. A broker that is away is no failure: it is tried again for ever.
   *
   * @throws TidegateError LINK_INVALID when the URL is none of a broker
   */
  async start(): Promise<void> {
    brokerAddress(this.#options.settings.url, this.name);
    if (!this.#isStopped) return;
    this.#isStopped = false;
    this.#security.warn(this.name, this.#options.settings.url, this.#options.log);
    this.#outgoing.begin();
    this.#connect();
  }

  /** Says farewell, lets go out what can within half the time, and closes; the rest is given up. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    const { farewell } = this.#options;
    if (this.#isOnline) {
      if (farewell) void this.publish(farewell.topic, farewell.payload, { qos: 1, retain: true }).catch(() => {});
      await within(this.#outgoing.drained(), deadlineMs / 2, "the broker").catch(() => {});
    }
    const connection = this.#connection;
    if (connection) {
      const hasEnded = new Promise<void>((resolve) => this.#watchers.add(() => resolve()));
      connection.close();
      await within(hasEnded, Math.min(2_000, deadlineMs / 4), "the broker").catch(() => {});
      connection.abort("closed", "the broker did not close the connection");
    }
    this.#outgoing.end();
  }

  /**
   * Resolves when the link is online: connected and subscribed.
   *
   * @throws TidegateError BROKER_REFUSED, BROKER_UNREACHABLE, … when an attempt fails, TIMEOUT when none ends in time
   */
  async online(timeoutMs: number): Promise<void> {
    if (this.#isOnline) return;
    let watch: (error: TidegateError | null) => void = () => {};
    const isThere = new Promise<void>((resolve, reject) => {
      watch = (error) => (error ? reject(error) : resolve());
      this.#watchers.add(watch);
    });
    try {
      await within(isThere, timeoutMs, `the broker ${this.#options.settings.url}`);
    } finally {
      this.#watchers.delete(watch);
    }
  }

  /**
   * Publishes. QoS 1 waits for a connection and is repeated until it is answered; QoS 0 needs one now. Rejects with
   * OUTGOING_FULL, LINK_DOWN or STOPPED; a refusal by the broker is an answer.
   */
  publish(topic: string, payload: string | Uint8Array, options: PublishOptions): Promise<PublishAnswer> {
    return this.#outgoing.publish(topic, payload, options);
  }

  /** Publishes with QoS 0: now, or never. Returns null, or why it is lost. */
  send(topic: string, payload: string | Uint8Array, options: PublishOptions): string | null {
    return this.#outgoing.send(topic, payload, options);
  }

  /** Publishes the birth message again, since what it says has changed. Without a connection the next one brings it. */
  announce(): void {
    if (this.#connection?.isOpen && this.#isOnline) this.#publishBirth(this.#connection);
  }

  /** Ends the pause between two attempts to connect: there is reason to think that the broker is there. */
  hurry(): void {
    if (this.#isStopped || this.#connection) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Acknowledges every held message up to this ticket, in the order in which they came. */
  release(ticket: number): void {
    this.#receiver.release(ticket);
  }

  /**
   * Reads nothing more from the broker until `resume`: the connection stays, the broker waits. Answers to what is published
   * are not read either.
   */
  pause(): void {
    this.#receiver.pause();
  }

  resume(): void {
    this.#receiver.resume();
  }

  /** The newest message's ticket: a commit that was collected now answers for everything up to it. */
  get lastTicket(): number {
    return this.#receiver.lastTicket;
  }

  get held(): number {
    return this.#receiver.held;
  }

  /** Messages that may be held at once before the broker stops sending. */
  get window(): number {
    return this.#version === 5 ? this.#options.settings.receiveMaximum : assumedWindow;
  }

  get counters() {
    return { ...this.#counters, ...this.#receiver.counters, ...this.#outgoing.counters };
  }

  get state() {
    return {
      url: this.#options.settings.url,
      isOnline: this.#isOnline,
      protocol: this.#version === 5 ? "5" : "3.1.1",
      isUnverified: this.#security.isUnverified,
      certificates: this.#security.certificates,
      held: this.held,
      window: this.window,
      queued: this.#outgoing.queued,
      /** Why the last connection ended; empty when none has. */
      lastEnd: this.#error === null ? "" : String(this.#error.facts.reason ?? this.#error.message),
      error: this.#error,
      /** Subscriptions that the broker does not grant. */
      refusedFilters: [...this.#subscriptions.refused].map(([topic, code]) => ({ topic, reason: refusalReason(code) })),
      ...this.counters,
    };
  }

  /** Changes what is subscribed, now or at the next connection. */
  async reconcile(subscriptions: readonly LinkSubscription[]): Promise<void> {
    this.#subscriptions.want(subscriptions);
    const connection = this.#connection;
    if (connection?.isOpen && this.#isOnline) await this.#subscribe(connection, false);
  }

  #connect(): void {
    const { settings, credentials, clientId, will, ack, maxPacket } = this.#options;
    const { host, port, isTls } = brokerAddress(settings.url, this.name);
    this.#version = this.#reconnect.version();
    const { tls, ...user } = credentials;
    const connection: MqttConnection = new MqttConnection(
      {
        ...{ host, port, clientId, maxPacket },
        ...(isTls ? { tls: tls ?? {} } : {}),
        ...user,
        ...(will ? { will } : {}),
        version: this.#version,
        connectTimeoutMs: settings.connectTimeout ?? connectTimeoutMs,
        sessionExpiry: Math.ceil(settings.sessionExpiry / 1000),
        receiveMaximum: settings.receiveMaximum,
        keepalive: Math.ceil(settings.keepalive / 1000),
        isAutomatic: ack === "auto",
      },
      {
        onOpen: (opening) => this.#opened(connection, opening),
        onMessage: (message) => this.#receiver.receive(message),
        onEnd: (end) => this.#ended(end),
      },
    );
    this.#connection = connection;
    connection.open();
  }

  #opened(connection: MqttConnection, opening: MqttOpening): void {
    const { log, name, settings, clock } = this.#options;
    this.#reconnect.opened();
    this.#openedAt = clock.monotonic();
    this.#security.opened(opening.certificateEnds);
    this.#counters.connections++;
    if (!opening.isSessionPresent) {
      if (this.#hadSession) {
        this.#counters.sessionsLost++;
        log.warn({ link: name }, "the broker has lost the session: what it had queued is gone");
      }
      this.#receiver.forget();
      this.#subscriptions.forget();
    }
    this.#hadSession = settings.sessionExpiry > 0;
    this.#setUp(connection, opening).catch((thrown: unknown) => {
      log.error({ link: name, reason: reasonOf(thrown) }, "the link could not be set up");
      connection.abort("closed", reasonOf(thrown));
    });
  }

  async #setUp(connection: MqttConnection, opening: MqttOpening): Promise<void> {
    const { log, name, onState } = this.#options;
    if (!(await this.#subscribe(connection, true))) return;
    this.#publishBirth(connection);
    this.#outgoing.open(connection, { window: opening.receiveMaximum, maxPacket: opening.maxPacket });
    this.#isOnline = true;
    log.info({ link: name, protocol: this.state.protocol }, "broker connected");
    this.#tell(null);
    onState?.("online", "");
  }

  #publishBirth(connection: MqttConnection): void {
    const { log, name, birth } = this.#options;
    if (!birth) return;
    const { topic, payload } = birth();
    connection.publish(topic, payload, { qos: 1, retain: true }, (code) => {
      if (code >= 128) log.warn({ link: name, reason: refusalReason(code) }, "the broker refuses the status message");
    });
  }

  /** Brings the broker's subscriptions to what is wanted, one conversation at a time. False: the connection ended. */
  #subscribe(connection: MqttConnection, isFresh: boolean): Promise<boolean> {
    const turn = this.#talk.then(() => this.#discuss(connection, isFresh));
    this.#talk = turn.catch(() => {});
    return turn;
  }

  async #discuss(connection: MqttConnection, isFresh: boolean): Promise<boolean> {
    const { log, name, settings } = this.#options;
    const plan = this.#subscriptions.plan(this.#version, isFresh);
    const timeoutMs = settings.connectTimeout ?? connectTimeoutMs;
    const isDone = await carryOut(plan, { connection, subscriptions: this.#subscriptions, timeoutMs, log, name });
    if (isDone && this.#subscriptions.refused.size > 0) this.#askAgain(connection);
    return isDone;
  }

  #askAgain(connection: MqttConnection): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (connection.isOpen) this.#subscribe(connection, false).catch(() => connection.abort("protocol", "no answer"));
    }, askAgainMs);
  }

  #ended(end: MqttEnd): void {
    const { log, name, clock, settings, clientId, onState } = this.#options;
    const wasOnline = this.#isOnline;
    const livedMs = this.#openedAt === null ? null : clock.monotonic() - this.#openedAt;
    this.#connection = undefined;
    this.#isOnline = false;
    this.#openedAt = null;
    clearTimeout(this.#timer);
    this.#outgoing.close();
    this.#receiver.discard();
    const { pauseMs, isKicked } = this.#reconnect.ended(end, livedMs);
    const error = isKicked
      ? new TidegateError("CLIENT_ID_TAKEN", { url: settings.url, clientId, reason: end.reason })
      : endError(end, settings.url, clientId);
    if (this.#isStopped) {
      this.#tell(error);
      return;
    }
    if (isKicked) this.#counters.kicks++;
    const isNews = wasOnline || this.#error?.message !== error.message;
    this.#error = error;
    this.#timer = setTimeout(() => this.#connect(), pauseMs);
    // Another protocol is tried at once: that is no failure yet.
    if (pauseMs === 0 && livedMs === null && end.why === "refused") return;
    const facts = { link: name, code: error.code, reason: end.reason, retryMs: pauseMs };
    if (isKicked) log.error(facts, error.help);
    else if (isNews) log.warn(facts, wasOnline ? "connection to the broker lost" : "no connection to the broker");
    else log.debug(facts, "no connection to the broker");
    this.#tell(error);
    if (isNews) onState?.("offline", error.message);
  }

  #tell(error: TidegateError | null): void {
    for (const watch of this.#watchers) watch(error);
    this.#watchers.clear();
  }
}

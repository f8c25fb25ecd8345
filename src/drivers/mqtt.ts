import { createRequire } from "node:module";
import type { Socket } from "node:net";
import type { Writable } from "node:stream";
import { type IClientOptions, type IConnackPacket, type IPublishPacket, MqttClient } from "mqtt";
import { reasonOf } from "../base/errors.ts";
import { isTlsError, openSocket } from "./broker-socket.ts";
import { clientOptions, type MqttOptions } from "./mqtt-options.ts";
import { PacketIds } from "./packet-ids.ts";
import { PacketReader } from "./packet-reader.ts";
import { PacketWriter, type PublishHead } from "./packet-writer.ts";
import { peerExpiry } from "./peer-certificates.ts";

// What encodes for mqtt.js keeps a buffer for each number of 16 bits, 7 MB, unless it is told not to before the first packet.
const { writeToStream } = createRequire(import.meta.resolve("mqtt"))("mqtt-packet") as {
  writeToStream: { cacheNumbers: boolean };
};
writeToStream.cacheNumbers = false;

/** What a broker said when it took the connection. */
export type MqttOpening = {
  readonly isSessionPresent: boolean;
  /** Unacknowledged messages of QoS 1 that the broker takes. */
  readonly receiveMaximum: number;
  readonly maximumQos: number;
  /** Largest packet that the broker takes, bytes. */
  readonly maxPacket: number;
  /** When the broker's certificates stop being valid, ms since 1970; null without TLS. */
  readonly certificateEnds: number | null;
};

/**
 * Why a connection ended. `refused`: the broker said no (`code`: its reason); `taken`: another client came with the
 * same id; `untrusted`: TLS; `protocol`: what came was not MQTT; `unreachable`: no connection came about.
 */
export type MqttEnd = {
  readonly why: "refused" | "unreachable" | "untrusted" | "protocol" | "taken" | "closed";
  readonly reason: string;
  readonly code: number | null;
  /** TCP (and TLS) came about. */
  readonly wasConnected: boolean;
};

export type MqttMessage = Pick<IPublishPacket, "topic" | "qos" | "retain" | "dup" | "messageId"> & {
  payload: Uint8Array | string;
};

export type MqttEvents = {
  /** Before any message, and at most once. */
  onOpen(opening: MqttOpening): void;
  /** False: nothing more is read until `resume`; the broker is held up by TCP. */
  onMessage(message: MqttMessage): boolean;
  /** Exactly once for every connection; nothing comes after it. */
  onEnd(end: MqttEnd): void;
};

export type MqttSubscription = { readonly topic: string; readonly qos: 0 | 1; readonly retainHandling: 0 | 1 | 2 };

const versionRefusals: readonly number[] = [1, 132];
const takenCode = 142;

/** Tells mqtt.js that a message has been dealt with but is not to be acknowledged. */
const noAcknowledgement = new Error("acknowledged later");

const disconnectPacket = Buffer.from([0xe0, 0]);

/** Tells whether a refusal means that the broker does not speak the version that was asked for. */
export const isVersionRefusal = (end: MqttEnd): boolean =>
  end.why === "refused" && end.code !== null && versionRefusals.includes(end.code);

/** Larger packets than this are not known to MQTT. */
const largestPacket = 268_435_460;
/** Times (half the keep-alive each) without a byte from the broker that end a connection: each began with a ping. */
const maxSilent = 2;

/**
 * One connection to a broker; when it ends, a new one is made. mqtt.js leads the conversation: connecting, subscribing,
 * pings, goodbye. Messages, of which there are many, go past it in both directions, by `PacketReader` and `PacketWriter`;
 * those that are not plain it reads itself.
 *
 * QoS 1 is acknowledged by `acknowledge`, many in one piece. mqtt.js would do so when its message handler calls back;
 * calling back with an error makes it leave the PUBACK out.
 */
export class MqttConnection {
  readonly #options: MqttOptions;
  readonly #events: MqttEvents;
  readonly #reader: PacketReader;
  readonly #writer: PacketWriter;
  readonly #ids = new PacketIds();
  #client: MqttClient | undefined;
  /** Where mqtt.js reads. */
  #parser: Writable | undefined;
  #socket: Socket | undefined;
  #isOpen = false;
  #isEnded = false;
  #wasConnected = false;
  /** mqtt.js reads a packet. */
  #isConversing = false;
  /** Ends the reading of a message that mqtt.js handed out. */
  #goOn: (() => void) | undefined;
  #fault: Omit<MqttEnd, "wasConnected"> | undefined;
  #wasHeard = false;
  #silent = 0;

  constructor(options: MqttOptions, events: MqttEvents) {
    this.#options = options;
    this.#events = events;
    const { version, maxPacket, isAutomatic } = options;
    this.#reader = new PacketReader(
      {
        onPublish: (packet) => {
          if (!this.#isOpen) {
            this.abort("protocol", "a message came before the connection was taken");
            return false;
          }
          const mayGoOn = events.onMessage(packet);
          if (isAutomatic && packet.qos === 1) this.acknowledge(Uint16Array.of(packet.messageId));
          return mayGoOn;
        },
        onPuback: (id, code) => this.#ids.answer(id, code),
        onOther: (bytes) => this.#converse(bytes),
        onRoom: () => this.#socket?.resume(),
      },
      version,
      // MQTT 3.1.1 has no word for it: a broker may send what it likes.
      version === 5 ? maxPacket : largestPacket,
    );
    this.#writer = new PacketWriter((bytes) => this.#write(bytes), version);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes that the socket has not taken yet. */
  get unsent(): number {
    return (this.#socket?.writableLength ?? 0) + this.#writer.staged;
  }

  /** Starts to connect; what comes of it is told by the events. */
  open(): void {
    const parts = { messageIdProvider: this.#ids, timerVariant: this.#keepalive };
    try {
      this.#client = new MqttClient(() => this.#stream(), clientOptions(this.#options, parts) as IClientOptions);
    } catch (thrown) {
      this.#fail("untrusted", thrown);
      this.#socket?.destroy();
      process.nextTick(() => this.#ended());
      return;
    }
    const client = this.#client;
    client.on("packetreceive", (packet) => {
      // Seen before mqtt.js acts on it: messages may follow in the same tick, so its `connect` would come late.
      if (packet.cmd === "connack") process.nextTick(() => this.#opened(packet));
    });
    client.handleMessage = (packet, done) => {
      if (!this.#isOpen) {
        this.abort("protocol", "a message came before the connection was taken");
        return;
      }
      const mayGoOn = this.#events.onMessage(packet);
      const answer = packet.qos === 1 && !this.#options.isAutomatic ? noAcknowledgement : undefined;
      if (mayGoOn) done(answer);
      else this.#goOn = () => done(answer);
    };
    client.on("disconnect", (packet) => {
      const code = packet.reasonCode ?? 0;
      this.#fault ??= {
        why: code === takenCode ? "taken" : "closed",
        reason: packet.properties?.reasonString ?? `the broker said goodbye with reason ${code}`,
        code,
      };
    });
    client.on("error", (error) => {
      const { code } = error as { code?: unknown };
      if (typeof code === "number" && !this.#isOpen) this.#fault ??= { why: "refused", reason: reasonOf(error), code };
      else if (typeof code !== "string") this.#fail(this.#isOpen ? "protocol" : whyOf(error), error);
      client.stream.destroy();
    });
    client.on("close", () => this.#ended());
  }

  /** Reads on after `onMessage` said no. */
  resume(): void {
    const goOn = this.#goOn;
    this.#goOn = undefined;
    if (!this.#isOpen) return;
    if (goOn) goOn();
    else if (!this.#isConversing) this.#readOn();
  }

  /** Writes PUBACKs for messages of this connection, in this order. */
  acknowledge(packetIds: Uint16Array): void {
    if (!this.#isOpen) return;
    const bytes = Buffer.allocUnsafe(packetIds.length * 4);
    for (let at = 0, to = 0; at < packetIds.length; at++, to += 4) {
      const id = packetIds[at] ?? 0;
      bytes[to] = 0x40;
      bytes[to + 1] = 2;
      bytes[to + 2] = id >> 8;
      bytes[to + 3] = id & 255;
    }
    this.#socket?.write(bytes);
  }

  /**
   * Publishes; the connection must be open. `done` gets the broker's reason code (0 with MQTT 3.1.1); it is not called
   * with QoS 0, nor when the connection ends before the broker's answer.
   */
  publish(topic: string, payload: string | Uint8Array, head: PublishHead, done?: (code: number) => void): void {
    if (!this.#isOpen) return;
    this.#writer.publish(topic, payload, head, head.qos === 1 ? this.#ids.take(done) : 0);
  }

  /**
   * Subscribes; resolves with one code for each (0 and 1: the granted QoS, 128 and above: refused), or null when the
   * connection ended before the broker answered.
   */
  subscribe(subscriptions: readonly MqttSubscription[]): Promise<readonly number[] | null> {
    const wanted = Object.fromEntries(
      subscriptions.map(({ topic, qos, retainHandling }) => [topic, { qos, rh: retainHandling }]),
    );
    return new Promise((resolve) => {
      if (this.#client === undefined || !this.#isOpen) return resolve(null);
      this.#client.subscribe(wanted, (_error, _granted, packet) => {
        const codes = packet?.granted as readonly number[] | undefined;
        resolve(codes?.length === subscriptions.length ? codes : null);
      });
    });
  }

  /** Resolves when the broker has confirmed, or the connection has ended. */
  unsubscribe(topics: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      if (this.#client === undefined || !this.#isOpen) return resolve();
      this.#client.unsubscribe([...topics], () => resolve());
    });
  }

  /** Says goodbye, so that the broker does not publish the will, and closes. */
  close(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#fault ??= { why: "closed", reason: "closed from this side", code: null };
      this.#writer.flush();
      // A broker whose end is not read would never be seen to close.
      this.#socket?.resume();
      this.#socket?.end(disconnectPacket);
    } else this.abort("closed", "closed from this side");
  }

  /** Closes without a word: the broker publishes the will. */
  abort(why: MqttEnd["why"], reason: string): void {
    this.#fault ??= { why, reason, code: null };
    this.#isOpen = false;
    this.#socket?.destroy();
  }

  #opened(packet: IConnackPacket): void {
    // mqtt.js has refused the connection by now where it had to: a bad code, or limits out of range.
    if (this.#isEnded || this.#isOpen || this.#fault !== undefined || this.#client?.connected !== true) return;
    const { properties } = packet;
    this.#isOpen = true;
    this.#events.onOpen({
      isSessionPresent: packet.sessionPresent,
      receiveMaximum: properties?.receiveMaximum ?? 65_535,
      maximumQos: properties?.maximumQoS ?? 2,
      maxPacket: properties?.maximumPacketSize ?? 268_435_455,
      certificateEnds: peerExpiry(this.#socket),
    });
  }

  #fail(why: MqttEnd["why"], thrown: unknown): void {
    this.#fault ??= { why, reason: reasonOf(thrown), code: null };
  }

  #ended(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#isOpen = false;
    const fault = this.#fault ?? { why: "closed" as const, reason: "the broker closed the connection", code: null };
    // Frees the stores and timers of mqtt.js; its callbacks for what was under way are of no interest any more.
    this.#client?.end(true);
    this.#events.onEnd({ ...fault, wasConnected: this.#wasConnected });
  }

  #stream(): Socket {
    const socket = openSocket(this.#options, {
      onConnect: () => {
        this.#wasConnected = true;
      },
      onError: (error) => this.#fail(this.#wasConnected ? "closed" : whyOf(error), error),
      onBytes: (bytes) => {
        this.#wasHeard = true;
        if (this.#isEnded || this.#fault !== undefined) return true;
        this.#reader.push(bytes);
        return !this.#reader.isHeldUp;
      },
      onUnreadable: (thrown) => this.abort("protocol", reasonOf(thrown)),
    });
    // mqtt.js asks for everything that comes; it gets what the reader leaves to it.
    socket.pipe = <T extends NodeJS.WritableStream>(destination: T): T => {
      this.#parser = destination as unknown as Writable;
      return destination;
    };
    this.#socket = socket;
    return socket;
  }

  /** Lets mqtt.js read a packet; what follows waits until it has. */
  #converse(bytes: Uint8Array): void {
    this.#isConversing = true;
    // It keeps parts of what it is given. What it tells of a packet comes in the turn after it.
    this.#parser?.write(Buffer.from(bytes), () =>
      process.nextTick(() => {
        this.#isConversing = false;
        this.#readOn();
      }),
    );
  }

  #readOn(): void {
    if (this.#isEnded || this.#socket?.destroyed === true) return;
    try {
      this.#reader.goOn();
    } catch (thrown) {
      this.abort("protocol", reasonOf(thrown));
    }
  }

  /** Whether the bytes have left and their memory is free. */
  #write(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return true;
    socket.write(bytes);
    return socket.writableLength === 0;
  }

  /**
   * The timer of mqtt.js's keep-alive. mqtt.js waits for the answer to its ping, which may lie behind minutes of messages
   * or not be read at all while the gateway is behind: here every byte counts as life, and silence only while it reads.
   */
  readonly #keepalive = {
    set: (_look: () => void, ms: number): NodeJS.Timeout =>
      setInterval(() => {
        this.#silent = this.#wasHeard || this.#reader.isHeldUp ? 0 : this.#silent + 1;
        this.#wasHeard = false;
        if (this.#silent < maxSilent) this.#client?.sendPing();
        else this.#client?.onKeepaliveTimeout();
      }, ms),
    clear: (timer: NodeJS.Timeout): void => clearInterval(timer),
  };
}

function whyOf(error: Error): MqttEnd["why"] {
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return isTlsError(error) ? "untrusted" : "unreachable";
  return /connack timeout/.test(error.message) ? "unreachable" : "protocol";
}

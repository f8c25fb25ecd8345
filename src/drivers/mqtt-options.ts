import type { BrokerAddress } from "./broker-socket.ts";

export type MqttOptions = BrokerAddress & {
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string | Uint8Array;
  /** How long the broker keeps the session, s; 0: a new one each time. */
  readonly sessionExpiry: number;
  /** Messages of QoS 1 that may wait for their acknowledgement here (MQTT 5 only). */
  readonly receiveMaximum: number;
  /** Packets that are larger are not sent by an MQTT 5 broker, bytes. */
  readonly maxPacket: number;
  /** s */
  readonly keepalive: number;
  readonly connectTimeoutMs: number;
  readonly will?: { readonly topic: string; readonly payload: string | Uint8Array };
  /** Acknowledge QoS 1 here, at once; else by `acknowledge`. */
  readonly isAutomatic: boolean;
};

/** What of mqtt.js's own work is done for it. */
export type ClientParts = {
  /** Gives packet ids: they are shared with what is published past mqtt.js. */
  readonly messageIdProvider: object;
  /** Called for a timer every half of the keep-alive time. */
  readonly timerVariant: object;
};

/** The same in the words of mqtt.js. */
export function clientOptions(options: MqttOptions, parts: ClientParts) {
  const { version, clientId, username, password, sessionExpiry, receiveMaximum, keepalive, will } = options;
  return {
    protocolVersion: version,
    clientId,
    keepalive,
    clean: sessionExpiry === 0,
    connectTimeout: options.connectTimeoutMs,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...parts,
    // Its debug log costs more per message than the rest of its path, even when it is off.
    log: () => {},
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password: Buffer.from(password) }),
    ...(will ? { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: true } } : {}),
    ...(version === 5
      ? {
          properties: {
            sessionExpiryInterval: sessionExpiry,
            receiveMaximum,
            maximumPacketSize: options.maxPacket,
          },
          customHandleAcks: (_topic: string, _payload: Buffer, _packet: unknown, done: (code: number) => void) =>
            done(0),
        }
      : {}),
  };
}

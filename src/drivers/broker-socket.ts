import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type BrokerTls = {
  /** PEM; absent: the authorities that Node trusts. */
  readonly ca?: Uint8Array | string;
  readonly cert?: Uint8Array | string;
  readonly key?: Uint8Array | string;
  /** Name that the certificate must have; absent: the host's. */
  readonly servername?: string;
  /** Takes any certificate: for trials only. */
  readonly insecureSkipVerify?: boolean;
};

export type BrokerAddress = { readonly host: string; readonly port: number; readonly tls?: BrokerTls };

export type SocketEvents = {
  /** TCP, and TLS where it is asked for, came about. */
  onConnect(): void;
  onError(error: Error): void;
  /** What came; valid during the call only. False: nothing more is read until the socket's `resume`. */
  onBytes(bytes: Buffer): boolean;
  /** `onBytes` threw. */
  onUnreadable(thrown: unknown): void;
};

/**
 * One read of the kernel. The event loop lets a socket fill up to 32 in a row before anybody else has a turn, so that a
 * larger one would hold up what comes back from the models.
 */
const readBytes = 16_384;

/**
 * Opens a socket to a broker.
 *
 * @throws when the TLS material cannot be used (a bad PEM): Node's own error
 */
export function openSocket({ host, port, tls }: BrokerAddress, events: SocketEvents): Socket {
  const buffer = Buffer.allocUnsafe(readBytes);
  // Always the same memory: at full speed what Node allocates for each read would lie about until it is collected.
  const onread = {
    buffer,
    callback: (size: number): boolean => {
      try {
        return events.onBytes(buffer.subarray(0, size));
      } catch (thrown) {
        events.onUnreadable(thrown);
        return false;
      }
    },
  };
  const where = { host, port, onread };
  const socket = tls ? connectTls({ ...where, ...tlsOptions(host, tls) }) : connectTcp(where);
  socket.setNoDelay(true);
  socket.once(tls ? "secureConnect" : "connect", events.onConnect);
  socket.on("error", events.onError);
  return socket;
}

function tlsOptions(host: string, tls: BrokerTls) {
  return {
    ...(tls.ca === undefined ? {} : { ca: Buffer.from(tls.ca) }),
    ...(tls.cert === undefined ? {} : { cert: Buffer.from(tls.cert) }),
    ...(tls.key === undefined ? {} : { key: Buffer.from(tls.key) }),
    ...(tls.servername === undefined && isIP(host) !== 0 ? {} : { servername: tls.servername ?? host }),
    minVersion: "TLSv1.2" as const,
    rejectUnauthorized: tls.insecureSkipVerify !== true,
  };
}

const tlsCode = /^(CERT_|ERR_TLS|ERR_SSL|ERR_OSSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CRL_|HOSTNAME_MISMATCH|EPROTO)/;

/** Tells whether a socket's error is about TLS: certificates, versions, or no TLS at the other end. */
export const isTlsError = (error: Error): boolean =>
  "code" in error && typeof error.code === "string" && tlsCode.test(error.code);

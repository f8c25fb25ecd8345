import { connect as connectTcp, isIP, type Socket } from "node:net";
import type { Writable } from "node:stream";
import { connect as connectTls } from "node:tls";

export type BrokerTls = {
  /** PEM; absent: the authorities that Node trusts. */
  readonly ca?: Uint8Array | string;
  readonly cert?: Uint8Array | string;
  readonly key?: Uint8Array | string;
  /** Name that the certificate must have; absent: the host's. */
  readonly servername?: string;
  /** Takes any certificate: for trials only. */
  readonly insecure?: boolean;
};

export type BrokerAddress = { readonly host: string; readonly port: number; readonly tls?: BrokerTls };

export type SocketEvents = {
  /** TCP, and TLS where it is asked for, came about. */
  onConnect(): void;
  onError(error: Error): void;
  /** The reader that was piped to threw at what came. */
  onUnreadable(thrown: unknown): void;
};

/**
 * Opens a socket to a broker.
 *
 * @throws when the TLS material cannot be used (a bad PEM): Node's own error
 */
export function openSocket({ host, port, tls }: BrokerAddress, events: SocketEvents): Socket {
  const socket = tls ? connectTls({ host, port, ...tlsOptions(host, tls) }) : connectTcp({ host, port });
  socket.setNoDelay(true);
  socket.once(tls ? "secureConnect" : "connect", events.onConnect);
  socket.on("error", events.onError);
  // mqtt.js parses inside the write of the stream that it pipes to; what its parser throws would leave the process.
  const pipe = socket.pipe.bind(socket);
  socket.pipe = <T extends NodeJS.WritableStream>(destination: T): T => {
    const writable = destination as unknown as Writable;
    const write = writable._write.bind(writable);
    writable._write = (chunk, encoding, done) => {
      try {
        write(chunk, encoding, done);
      } catch (thrown) {
        events.onUnreadable(thrown);
      }
    };
    return pipe(destination);
  };
  return socket;
}

function tlsOptions(host: string, tls: BrokerTls) {
  return {
    ...(tls.ca === undefined ? {} : { ca: Buffer.from(tls.ca) }),
    ...(tls.cert === undefined ? {} : { cert: Buffer.from(tls.cert) }),
    ...(tls.key === undefined ? {} : { key: Buffer.from(tls.key) }),
    ...(tls.servername === undefined && isIP(host) !== 0 ? {} : { servername: tls.servername ?? host }),
    rejectUnauthorized: tls.insecure !== true,
  };
}

const tlsCode = /^(CERT_|ERR_TLS|ERR_SSL|ERR_OSSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CRL_|HOSTNAME_MISMATCH|EPROTO)/;

/** Tells whether a socket's error is about TLS: certificates, versions, or no TLS at the other end. */
export const isTlsError = (error: Error): boolean =>
  "code" in error && typeof error.code === "string" && tlsCode.test(error.code);

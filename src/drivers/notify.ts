import { execFile } from "node:child_process";
import { constants } from "node:os";
import { reasonOf } from "../base/errors.ts";

/** A way to hand systemd a message: `VARIABLE=value` lines. */
export type NotifyTransport = {
  readonly name: string;
  /** Resolves to false when systemd's queue is full: a moment later it may take the message. Rejects when it never will. */
  send(message: string): Promise<boolean>;
  close(): void;
};

const afUnix = 1;
const sockDgram = 2;
const sockCloexec = 0o2000000;
const sockNonblock = 0o4000;
const msgDontwait = 0x40;
const msgNosignal = 0x4000;
/** `struct sockaddr_un`: two bytes of family, then the path. */
const familyBytes = 2;
const maxPathBytes = 108;

/**
 * systemd's address as the kernel wants it: a path with its closing zero, or a leading zero for an abstract name (`@…`).
 *
 * @returns undefined for an address of another kind (`vsock:…`) or one that is too long
 */
export function socketAddress(notifySocket: string): Uint8Array | undefined {
  const isAbstract = notifySocket.startsWith("@");
  if (!isAbstract && !notifySocket.startsWith("/")) return undefined;
  const path = new TextEncoder().encode(notifySocket);
  if (path.length < 2 || path.length + (isAbstract ? 0 : 1) > maxPathBytes) return undefined;
  const address = new Uint8Array(familyBytes + path.length + (isAbstract ? 0 : 1));
  new DataView(address.buffer).setUint16(0, afUnix, new Uint8Array(new Uint16Array([1]).buffer)[0] === 1);
  address.set(path, familyBytes);
  if (isAbstract) address[familyBytes] = 0;
  return address;
}

/**
 * Calls the C library's `sendto` from this process: no fork, no wait, and systemd sees the daemon itself as the sender.
 * Node has datagram sockets for UDP alone.
 *
 * @throws when the library cannot be loaded, or the address is of a kind it does not serve
 */
export async function openSocketTransport(notifySocket: string): Promise<NotifyTransport> {
  const address = socketAddress(notifySocket);
  if (address === undefined) throw new Error(`not an address of a unix socket: ${notifySocket}`);
  const { default: koffi } = await import("koffi");
  // Without a name: the C library that this process has already, be it glibc or musl.
  const libc = koffi.load(null);
  const socket = libc.func("int socket(int domain, int type, int protocol)");
  const close = libc.func("int close(int fd)");
  const sendto = libc.func(
    "long sendto(int fd, const uint8_t *data, size_t size, int flags, const uint8_t *address, uint32_t addressSize)",
  );
  let fd = socket(afUnix, sockDgram | sockCloexec | sockNonblock, 0) as number;
  if (fd < 0) throw new Error(`no socket: ${errorName(koffi.errno())}`);
  return {
    name: "socket",
    send: async (message) => {
      const data = new TextEncoder().encode(message);
      const sent = sendto(fd, data, data.length, msgDontwait | msgNosignal, address, address.length) as number;
      if (sent === data.length) return true;
      const fault = errorName(koffi.errno());
      if (["EAGAIN", "ENOBUFS", "EINTR"].includes(fault)) return false;
      throw new Error(fault);
    },
    close: () => {
      if (fd >= 0) close(fd);
      fd = -1;
    },
  };
}

function errorName(number: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `error ${number}`;
}

/** How long systemd's own tool may take, ms. */
const commandTimeoutMs = 5_000;

/**
 * Runs systemd's own tool for each message: the way that is left where the library cannot be loaded. The message comes
 * from a child then, so the unit needs `NotifyAccess=all`.
 */
export function commandTransport(notifySocket: string, command = "systemd-notify"): NotifyTransport {
  return {
    name: "command",
    send: (message) =>
      new Promise((resolve, reject) => {
        const env = { PATH: process.env.PATH ?? "/usr/bin:/bin", NOTIFY_SOCKET: notifySocket };
        // Without a shell: a status text is one argument, whatever it holds.
        execFile(command, message.split("\n"), { env, timeout: commandTimeoutMs }, (error) =>
          error === null ? resolve(true) : reject(new Error(`${command}: ${reasonOf(error)}`)),
        );
      }),
    close: () => {},
  };
}

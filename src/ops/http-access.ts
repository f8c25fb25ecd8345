import { BlockList, isIP } from "node:net";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

/** Whether an address (not a name) is of this machine's loopback; IPv4 within IPv6 counts. */
export function isLoopback(address: string): boolean {
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  const family = isIP(plain);
  return family !== 0 && loopback.check(plain, family === 6 ? "ipv6" : "ipv4");
}

/** Host and port of `host:port` or `[v6]:port`; null when it is neither, or the port is none. */
export function parseListen(listen: string): { host: string; port: number } | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:\s[\]]+)):(\d{1,5})$/i.exec(listen);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  return host === undefined || port > 65_535 ? null : { host, port };
}

/**
 * Whether a request's Host header names this server. A page of another site can make the browser connect here under a
 * name of its own (DNS rebinding), but not under a bare address, `localhost` or a name that is known to be ours.
 *
 * @param names  further names of this machine, lower case
 */
export function isHostOurs(header: string | undefined, names: readonly string[]): boolean {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:\s[\]/@]+))(?::\d{1,5})?$/i.exec(header ?? "");
  if (match === null) return false;
  if (match[1] !== undefined) return isIP(match[1]) === 6;
  const name = (match[2] ?? "").toLowerCase();
  return isIP(name) === 4 || name === "localhost" || names.includes(name);
}

/** Whether a request may come from where its Origin header says: from a page of this server, or from no page at all. */
export function isOriginOurs(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  const match = /^https?:\/\/([^/]+)$/i.exec(origin);
  return match?.[1] !== undefined && match[1].toLowerCase() === host?.toLowerCase();
}

/** The token of an Authorization header (`Bearer …`); undefined when there is none. */
export const bearerOf = (header: string | undefined): string | undefined => /^Bearer\s+(\S+)$/i.exec(header ?? "")?.[1];

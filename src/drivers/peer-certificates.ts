import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";

/** No chain of a broker is longer: what a peer sends is bounded. */
const maxChain = 16;

/**
 * When the first certificate of the peer's chain, up to the authority that is trusted, stops being valid.
 * @returns ms since 1970; null without TLS, or when the peer showed none
 */
export function peerExpiry(socket: Socket | undefined): number | null {
  if (!(socket instanceof TLSSocket)) return null;
  let certificate: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  let soonest = Number.POSITIVE_INFINITY;
  for (let depth = 0; certificate?.valid_to !== undefined && depth < maxChain; depth++) {
    const end = Date.parse(certificate.valid_to);
    if (Number.isFinite(end)) soonest = Math.min(soonest, end);
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate;
    // An authority has issued itself.
    certificate = issuer?.fingerprint256 === certificate.fingerprint256 ? undefined : issuer;
  }
  return Number.isFinite(soonest) ? soonest : null;
}

/** When a certificate (PEM; the first of several) stops being valid, ms since 1970; null when it is none. */
export function certificateExpiry(pem: Uint8Array | string): number | null {
  try {
    const end = Date.parse(new X509Certificate(pem).validTo);
    return Number.isFinite(end) ? end : null;
  } catch {
    return null;
  }
}

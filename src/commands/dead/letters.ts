import { TidegateError } from "../../base/errors.ts";
import type { JournalAccess, Letter } from "../buffer/journal-access.ts";
import { OptionFault } from "../verb.ts";

/** A letter holds up to 64 KiB of payload: so many fit into one answer of the daemon. */
const pageLetters = 24;

/** Parses the id of a letter. */
export function idOption(text: string): number {
  const id = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(id))
    throw new OptionFault("a letter's id", text, "a number that `tidegate dead ls` lists");
  return id;
}

/** Parses one more of several ids. */
export const idsOption = (text: string, before?: number[]): number[] => [...(before ?? []), idOption(text)];

/** Dead letters, newest first, page by page. */
export async function* allLetters(journal: JournalAccess, limit: number): AsyncGenerator<Letter> {
  let before: number | undefined;
  for (let left = limit; left > 0; ) {
    const page = await journal.letters(Math.min(left, pageLetters), before);
    yield* page;
    left -= page.length;
    before = page.at(-1)?.id;
    if (before === undefined) return;
  }
}

/** Letters one by one in the order in which they came; those that have gone meanwhile are passed over. */
export async function* lettersInOrder(journal: JournalAccess, ids: readonly number[]): AsyncGenerator<Letter> {
  for (const id of ids.toSorted((a, b) => a - b)) {
    const [letter] = await journal.letters(1, id + 1);
    if (letter?.id === id) yield letter;
  }
}

/** @throws TidegateError DEAD_LETTER_ABSENT for the first id that there is none of */
export async function lettersById(journal: JournalAccess, ids: readonly number[]): Promise<Letter[]> {
  const letters: Letter[] = [];
  for (const id of ids) {
    const [letter] = await journal.letters(1, id + 1);
    if (letter?.id !== id) throw new TidegateError("DEAD_LETTER_ABSENT", { id });
    letters.push(letter);
  }
  return letters;
}

/** What `dead ls` tells of a letter. */
export const letterFacts = ({ id, receivedAt, stream, topic, size, code, reason }: Letter) => ({
  ...{ id, receivedAt, stream, topic, size, code, reason },
});

/** The payload of a letter as base64 and, where it is text, as text. */
export function letterPayload({ payload, size }: Letter) {
  const isCutOff = payload.length < size;
  let text: string | null = null;
  try {
    // What was cut off may end within a character: those that are whole are shown.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload, { stream: isCutOff });
  } catch {
    // Not text.
  }
  return { isCutOff, payload: Buffer.from(payload).toString("base64"), text };
}

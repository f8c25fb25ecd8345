import { TidegateError } from "../../base/errors.ts";

const quote = '"';

const malformed = (line: number, reason: string): TidegateError =>
  new TidegateError("PAYLOAD_MALFORMED", { codec: "CSV", reason: `line ${line} ${reason}` });

/**
 * Reads RFC 4180 text line by line: cells in quotes may hold delimiters, line ends and doubled quotes. Empty lines
 * are left out.
 *
 * @param onLine  gets the cells of a line and its number, from 1; the array is valid during the call only
 * @throws TidegateError PAYLOAD_MALFORMED
 */
export function readCsv(text: string, delimiter: string, onLine: (cells: readonly string[], line: number) => void) {
  const cells: string[] = [];
  let line = 1;
  let at = 0;
  while (at < text.length) {
    const start = line;
    cells.length = 0;
    for (;;) {
      if (text[at] === quote) {
        const end = endOfQuoted(text, at, start);
        const cell = text.slice(at + 1, end);
        for (let i = cell.indexOf("\n"); i !== -1; i = cell.indexOf("\n", i + 1)) line++;
        cells.push(cell.includes(quote) ? cell.replaceAll('""', quote) : cell);
        at = end + 1;
        if (at < text.length && text[at] !== delimiter && !isLineEnd(text, at))
          throw malformed(start, "goes on behind a closing quote");
      } else {
        const end = endOfPlain(text, at, delimiter);
        cells.push(text.slice(at, end));
        at = end;
      }
      if (text[at] !== delimiter) break;
      at++;
    }
    at += text[at] === "\r" ? 2 : 1;
    const isBlank = cells.length === 1 && cells[0] === "";
    if (!isBlank) onLine(cells, start);
    line++;
  }
}

const isLineEnd = (text: string, at: number): boolean =>
  text[at] === "\n" || (text[at] === "\r" && (text[at + 1] === "\n" || at + 1 === text.length));

function endOfPlain(text: string, from: number, delimiter: string): number {
  let at = from;
  while (at < text.length && text[at] !== delimiter && !isLineEnd(text, at)) at++;
  return at;
}

function endOfQuoted(text: string, from: number, line: number): number {
  for (let at = text.indexOf(quote, from + 1); at !== -1; at = text.indexOf(quote, at + 2)) {
    if (text[at + 1] !== quote) return at;
  }
  throw malformed(line, "has a quote that is not closed");
}

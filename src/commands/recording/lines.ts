import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { reasonOf, TidegateError } from "../../base/errors.ts";

/** A line of a recording, with where it stands. */
export type Line = {
  readonly text: string;
  /** From 1. */
  readonly number: number;
  /** Share of the file that has been read, 0 to 1; of standard input nobody knows: 0. */
  readonly share: number;
};

const maxLine = 64 * 2 ** 20;

/**
 * Reads a file line by line, without holding all of it; `-` is standard input. Empty lines are left out.
 * @throws TidegateError FILE_UNREADABLE
 */
export async function* readLines(file: string): AsyncGenerator<Line> {
  try {
    const size = file === "-" ? 0 : (await stat(file)).size;
    const input = file === "-" ? process.stdin : createReadStream(file);
    let bytes = 0;
    let number = 0;
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      number++;
      bytes += Buffer.byteLength(text) + 1;
      if (text.length > maxLine) throw new Error(`line ${number} is longer than ${maxLine} characters`);
      if (text.trim() !== "")
        yield {
          text: number === 1 ? text.replace(/^\uFEFF/, "") : text,
          number,
          share: size && Math.min(1, bytes / size),
        };
    }
  } catch (thrown) {
    if (thrown instanceof TidegateError) throw thrown;
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(thrown) }, { cause: thrown });
  }
}

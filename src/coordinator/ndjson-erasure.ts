import { createReadStream } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { syncDirectory } from "../crypto/key-file.ts";
import type { SinkErasure, WrittenLine } from "./sink-erasures.ts";

const chunkBytes = 2 ** 20;
const lineFeed = 0x0a;
export const draftSuffix = ".erasing";

/** The lines of the first `bytes` bytes of a file, with their line breaks; one line and a piece of the file at a time. */
async function* linesOf(path: string, bytes: number): AsyncGenerator<Buffer> {
  if (bytes === 0) return;
  let rest: Buffer[] = [];
  for await (const chunk of createReadStream(path, { end: bytes - 1, highWaterMark: chunkBytes })) {
    const piece = chunk as Buffer;
    let from = 0;
    for (let at = piece.indexOf(lineFeed); at >= 0; at = piece.indexOf(lineFeed, from)) {
      yield Buffer.concat([...rest, piece.subarray(from, at + 1)]);
      rest = [];
      from = at + 1;
    }
    if (from < piece.length) rest.push(piece.subarray(from));
  }
  if (rest.length > 0) yield Buffer.concat(rest);
}

/** Whose a line is says its front, which the sink wrote: what a gateway wrote stands behind it. */
function isErasedLine(line: Buffer, front: Buffer, isErased: SinkErasure["isErased"]): boolean {
  if (line.subarray(0, front.length).compare(front) !== 0) return false;
  try {
    return isErased(JSON.parse(line.toString("utf8")) as WrittenLine);
  } catch {
    return false;
  }
}

/**
 * Writes a file anew without what is erased of it, beside it, and puts it in its place: there is the old file or the new
 * one, whatever comes between. Memory does not grow with the file.
 * @param bytes  how much of the file counts
 * @returns how much of it counts then, and how many lines were taken out; null when nothing of it is erased
 */
export async function eraseLines(
  path: string,
  bytes: number,
  { fleet, gateway, isErased }: SinkErasure,
): Promise<{ bytes: number; lines: number } | null> {
  const front = Buffer.from(`${JSON.stringify({ fleet, gateway }).slice(0, -1)},`);
  let isTouched = false;
  for await (const line of linesOf(path, bytes)) {
    isTouched = isErasedLine(line, front, isErased);
    if (isTouched) break;
  }
  if (!isTouched) return null;
  const draft = `${path}${draftSuffix}`;
  const handle = await open(draft, "w", (await stat(path)).mode & 0o777);
  let [kept, lines] = [0, 0];
  try {
    let [waiting, waitingBytes]: [Buffer[], number] = [[], 0];
    const write = async () => {
      await handle.writeFile(Buffer.concat(waiting));
      kept += waitingBytes;
      [waiting, waitingBytes] = [[], 0];
    };
    for await (const line of linesOf(path, bytes)) {
      if (isErasedLine(line, front, isErased)) {
        lines++;
        continue;
      }
      waiting.push(line);
      waitingBytes += line.length;
      if (waitingBytes >= chunkBytes) await write();
    }
    await write();
    await handle.sync();
    await handle.close();
    await rename(draft, path);
    syncDirectory(dirname(path));
  } catch (thrown) {
    await handle.close().catch(() => {});
    await rm(draft, { force: true });
    throw thrown;
  }
  return { bytes: kept, lines };
}

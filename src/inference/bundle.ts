import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Card } from "./card.ts";
import { parseCard } from "./parse-card.ts";

/** Models up to this size stay in memory: a restart of the model process then does not depend on the disk. */
const keptBytes = 16 * 2 ** 20;
/** Cards and golden samples are read whole. */
const maxTextBytes = 64 * 2 ** 20;

/** A model bundle that was opened and checked: a folder of `model.onnx`, `card.yaml` and golden samples. */
export type Bundle = {
  readonly name: string;
  readonly dir: string;
  readonly card: Card;
  readonly modelFile: string;
  /** SHA-256 of model.onnx, hex. */
  readonly modelHash: string;
  readonly modelBytes?: Uint8Array;
  /** SHA-256 over the hashes of all files that count, hex: the identity of this version. */
  readonly hash: string;
  /** Text of the golden samples; "" when the bundle has none. */
  readonly golden: string;
};

/**
 * Opens a bundle. Its weights are inside model.onnx: external data is not part of a bundle.
 * @throws TidegateError FILE_UNREADABLE, CARD_INVALID
 */
export async function openBundle(dir: string): Promise<Bundle> {
  const cardFile = join(dir, "card.yaml");
  const cardText = await readText(cardFile);
  const card = parseCard(cardText, cardFile);
  if (basename(card.golden) !== card.golden) {
    throw new TidegateError("CARD_INVALID", { file: cardFile, reason: "golden: must be a file in the bundle" });
  }
  const modelFile = join(dir, "model.onnx");
  const golden = await readText(join(dir, card.golden), "");
  const { hash: modelHash, bytes } = await readModelFile(modelFile);
  const hash = sha256(
    [
      ["model.onnx", modelHash],
      ["card.yaml", sha256(cardText)],
      [card.golden, sha256(golden)],
    ]
      .map(([file, digest]) => `${file}\0${digest}\n`)
      .join(""),
  );
  return { name: card.name, dir, card, modelFile, modelHash, ...(bytes ? { modelBytes: bytes } : {}), hash, golden };
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

const unreadable = (file: string, cause: unknown): TidegateError =>
  new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });

async function readText(file: string, absent?: string): Promise<string> {
  try {
    const text = await readFile(file, "utf8");
    if (text.length > maxTextBytes) throw new Error(`larger than ${maxTextBytes} bytes`);
    return text;
  } catch (cause) {
    if (absent !== undefined && (cause as NodeJS.ErrnoException).code === "ENOENT") return absent;
    throw unreadable(file, cause);
  }
}

/** Hashes piece by piece, so that a large model does not hold up the loop. */
async function readModelFile(file: string): Promise<{ hash: string; bytes: Uint8Array | undefined }> {
  const digest = createHash("sha256");
  let chunks: Buffer[] | undefined = [];
  let size = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      digest.update(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > keptBytes) chunks = undefined;
      chunks?.push(chunk as Buffer);
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
  return { hash: digest.digest("hex"), bytes: chunks && new Uint8Array(Buffer.concat(chunks)) };
}

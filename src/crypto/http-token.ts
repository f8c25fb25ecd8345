import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { errnoOf } from "./key-file.ts";
import { replaceInKeys } from "./key-store.ts";

/**
 * The token that lets browsers and scrapers of other machines in. It lies in the clear beside the keys, mode 0600: it
 * must be printed again for a second browser, and who reads that folder reads the data anyway.
 */
const fileName = "http.token";
const form = /^[A-Za-z0-9_-]{43}$/;

/** @returns null when there is none yet. @throws TidegateError KEY_UNREADABLE, KEY_DAMAGED */
export function readHttpToken(dataDir: string): string | null {
  const file = join(dataDir, "keys", fileName);
  let text: string;
  try {
    if ((lstatSync(file).mode & 0o077) !== 0) throw new Error("others may use it");
    text = readFileSync(file, "utf8").trim();
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") return null;
    throw new TidegateError("KEY_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  if (!form.test(text)) throw new TidegateError("KEY_DAMAGED", { file, reason: "it is no token" });
  return text;
}

/** Makes a token of 256 random bits; the one before it lets nobody in any more. @throws TidegateError KEY_UNWRITABLE */
export function newHttpToken(dataDir: string): string {
  const token = randomBytes(32).toString("base64url");
  replaceInKeys(dataDir, fileName, `${token}\n`);
  return token;
}

/** Compares without telling by its time how much of a guess was right. */
export const isToken = (token: string | null, guess: string): boolean =>
  token !== null && timingSafeEqual(hash("sha256", token, "buffer"), hash("sha256", guess, "buffer"));

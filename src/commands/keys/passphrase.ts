import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import type { KeyRingOptions } from "../../crypto/key-ring.ts";
import { sealedFile } from "../../crypto/key-store.ts";
import type { Io } from "../verb.ts";

/** Name of the unit's credential that opens keys under a passphrase. */
const credentialName = "passphrase";

/**
 * Where the keys of a data directory are and what opens them: the unit's credentials, else a passphrase from the
 * credential of that name, from the file in TIDEGATE_PASSPHRASE_FILE, or typed at a terminal when keys lie under one.
 * @throws TidegateError SECRET_UNREADABLE (77)
 */
export async function keyPlace(io: Io, dataDir: string): Promise<KeyRingOptions> {
  const place = givenPlace(io, dataDir);
  if (place.passphrase !== undefined || !process.stdin.isTTY || !existsSync(sealedFile(dataDir))) return place;
  return { ...place, passphrase: await readPassphrase(undefined, { isNew: false, signal: io.signal }) };
}

/** The same, without asking anybody. @throws TidegateError SECRET_UNREADABLE (77) */
export function givenPlace({ env }: Pick<Io, "env">, dataDir: string): KeyRingOptions {
  const credentialsDir = env.CREDENTIALS_DIRECTORY;
  const credential = credentialsDir ? join(credentialsDir, credentialName) : undefined;
  const file = credential !== undefined && existsSync(credential) ? credential : env.TIDEGATE_PASSPHRASE_FILE;
  if (!file) return { dataDir, credentialsDir };
  // systemd lets the unit's user in by an access list, which shows as bits of the group.
  const others = file === credential ? 0o037 : 0o077;
  let mode: number;
  try {
    ({ mode } = statSync(file));
  } catch (cause) {
    throw new TidegateError("SECRET_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  if ((mode & others) !== 0)
    throw new TidegateError("SECRET_UNREADABLE", { file, reason: "others may read it: its mode must be 0600" });
  return { dataDir, credentialsDir, passphrase: firstLine(file) };
}

/**
 * The passphrase of a backup: the first line of a file, or typed, unseen, at the terminal.
 *
 * @param file  `-`: standard input
 * @throws TidegateError USAGE when there is neither a file nor a terminal, SECRET_UNREADABLE, STOPPED
 */
export async function readPassphrase(
  file: string | undefined,
  { isNew, signal }: { isNew: boolean; signal: AbortSignal },
): Promise<string> {
  if (file !== undefined) return firstLine(file);
  if (!process.stdin.isTTY) {
    const detail =
      "there is no terminal to ask for the passphrase: name a file with --passphrase-file (`-`: standard input)";
    throw new TidegateError("USAGE", { detail });
  }
  const typed = await ask("Passphrase: ", signal);
  if (isNew && (await ask("The same once more: ", signal)) !== typed)
    throw new TidegateError("USAGE", { detail: "the two passphrases differ" });
  return typed;
}

function firstLine(file: string): string {
  let text: string;
  try {
    text = readFileSync(file === "-" ? 0 : file, "utf8");
  } catch (cause) {
    throw new TidegateError("SECRET_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
  const line = /^[^\r\n]*/.exec(text)?.[0] ?? "";
  if (line === "") throw new TidegateError("SECRET_UNREADABLE", { file, reason: "its first line is empty" });
  return line;
}

/** Reads a line without showing it: the terminal echoes into a stream that swallows. */
function ask(prompt: string, signal: AbortSignal): Promise<string> {
  const unseen = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: unseen, terminal: true });
  process.stderr.write(prompt);
  return new Promise((resolve, reject) => {
    const end = () => reject(new TidegateError("STOPPED", { what: "the question for the passphrase" }));
    terminal.once("line", (line) => {
      resolve(line);
      terminal.close();
    });
    terminal.once("SIGINT", () => terminal.close());
    terminal.once("close", end);
    signal.addEventListener("abort", () => terminal.close(), { once: true });
  }).finally(() => process.stderr.write("\n")) as Promise<string>;
}

import { createInterface } from "node:readline/promises";
import { setImmediate } from "node:timers/promises";
import type { ErasureRequest } from "../../base/erasure-request.ts";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { LoadedConfig } from "../../config/load.ts";
import { findKey } from "../../crypto/key-ring.ts";
import { signerOf } from "../../crypto/signing.ts";
import { Erasures, type SignedReceipt } from "../../gateway/erasures.ts";
import { Marks } from "../../gateway/marks.ts";
import { TrainingFiles } from "../../gateway/training-files.ts";
import { ControlClient } from "../../ops/control-client.ts";
import { keyPlace } from "../keys/passphrase.ts";
import { controlSocket } from "../run/control-socket.ts";
import type { Io } from "../verb.ts";
import { openStore } from "./journal-access.ts";

/** What a request would erase, in words. */
export function described({ stream, source, before }: ErasureRequest): string {
  const what = source === undefined ? "all readings" : `all readings of ${source}`;
  const where = stream === undefined ? "in all streams" : `in stream ${stream}`;
  return `${what} ${where}${before === undefined ? "" : ` from before ${new Date(before).toISOString()}`}`;
}

/**
 * Asks at the terminal whether it is meant.
 * @throws TidegateError USAGE when there is no terminal to ask at, STOPPED when the answer is no
 */
export async function confirm(request: ErasureRequest, signal: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY)
    throw new TidegateError("USAGE", { detail: "there is no terminal to ask at: say --yes to erase" });
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await terminal.question(`Erase ${described(request)}, for good? Type "erase": `, { signal });
    if (typed.trim() !== "erase") throw new TidegateError("STOPPED", { what: "the erasure, before it began" });
  } finally {
    terminal.close();
  }
}

/**
 * Erases through the running daemon, else on the data directory itself.
 * @throws TidegateError USAGE (no such stream), DATA_DIR_IN_USE, JOURNAL_ABSENT, KEY_MISSING, STORAGE_FAILED, …
 */
export async function eraseReadings(io: Io, loaded: LoadedConfig, request: ErasureRequest): Promise<SignedReceipt> {
  const client = await ControlClient.connect(controlSocket(loaded)).catch((thrown: unknown) => {
    if (thrown instanceof TidegateError && thrown.code === "CONTROL_UNAVAILABLE") return undefined;
    throw thrown;
  });
  if (!client) return eraseInFiles(io, loaded, request);
  try {
    return (await client.call("buffer.erase", { ...request }, { signal: io.signal })) as SignedReceipt;
  } finally {
    client.close();
  }
}

async function eraseInFiles(io: Io, loaded: LoadedConfig, request: ErasureRequest): Promise<SignedReceipt> {
  const { dataDir, fleet, id } = loaded.config.gateway;
  const { store, storageRoot } = await openStore(io, loaded);
  try {
    const { key, file } = findKey(await keyPlace(io, dataDir), "signing");
    if (!key) throw new TidegateError("KEY_MISSING", { dir: dataDir, file });
    const state = {
      stateGet: async (name: string) => store.stateGet(name),
      statePut: async (name: string, value: Uint8Array) => store.statePut(name, value),
    };
    const erasures = new Erasures({
      fleet,
      gateway: id,
      isForwarded: loaded.config.cloud?.forwardErasures ?? false,
      signer: signerOf(key),
      journal: {
        eraseBegin: async (what, isForwarded) => store.eraseBegin(what, isForwarded),
        erasure: async () => store.erasure(),
        eraseStep: async () => {
          // A signal is heard between two steps: what was begun goes on at the next start.
          await setImmediate();
          if (io.signal.aborted)
            throw new TidegateError("STOPPED", { what: "the erasure: it goes on at the next start" });
          return store.eraseStep();
        },
        eraseEnd: async (receipt) => store.eraseEnd(receipt),
      },
      forget: async ({ stream, source, before }) => {
        await new TrainingFiles(dataDir, storageRoot, state).erase();
        const to = before === undefined ? undefined : before - 1;
        await new Marks(storageRoot, state).remove({ stream, source, to });
      },
      log: silentLog,
    });
    return await erasures.erase(request);
  } finally {
    store.close();
  }
}

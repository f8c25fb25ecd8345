import { parentPort, workerData } from "node:worker_threads";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { isInDoubt } from "./storage-fault.ts";
import { Store, type StoreEvent, type StoreOptions, type StoreReady } from "./store.ts";

// The entry of the journal thread: the only thread that touches the journal's files. It answers calls in order.

/** Methods of the store that may be called from the main thread. */
export type StoreCall = {
  [K in keyof Store]: Store[K] extends (...args: infer A) => unknown ? { method: K; args: A } : never;
}[keyof Store];

export type Question = { readonly id: number } & StoreCall;
export type Answer =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { code: string } & Record<string, unknown> }
  | { readonly id: 0; readonly event: StoreEvent | StoreReady };

const port = parentPort;
if (!port) throw new TidegateError("BUG", { detail: "the journal thread was not started as a thread" });
const post = (answer: Answer) => port.postMessage(answer);
const asJson = (thrown: unknown) =>
  (thrown instanceof TidegateError
    ? thrown
    : new TidegateError("STORAGE_FAILED", { reason: reasonOf(thrown) })
  ).toJSON();

let store: Store | undefined;
try {
  store = new Store(workerData as StoreOptions, (event) => post({ id: 0, event }));
  post({ id: 0, event: { event: "ready" } });
} catch (thrown) {
  post({ id: -1, error: asJson(thrown) });
}

let isMergeDue = false;

port.on("message", (question: Question) => {
  const { id, method, args } = question;
  try {
    if (!store) throw new TidegateError("STOPPED", { what: "the journal" });
    const value = (store[method] as (...args: unknown[]) => unknown).apply(store, args);
    if (method === "close") store = undefined;
    post({ id, value });
    if (method === "commit") mergeSoon();
    if (method === "close") port.close();
  } catch (thrown) {
    post({ id, error: asJson(thrown) });
    if (isInDoubt(thrown)) leave();
  }
});

/** Whether the last commit holds, only opening the file again tells: another thread does, as if this one had died. */
function leave(): void {
  try {
    store?.close();
  } catch {
    // A file that cannot be written is closed all the same.
  }
  process.exit();
}

/** Merging comes after the answers, block by block, so that nobody waits for more than one. */
function mergeSoon(): void {
  if (isMergeDue) return;
  isMergeDue = true;
  setImmediate(() => {
    isMergeDue = false;
    try {
      if (store && store.mergeStep() > 0) mergeSoon();
    } catch (thrown) {
      // The tails stay as they are, and the next commit tells of a disk that fails.
      if (isInDoubt(thrown)) leave();
    }
  });
}

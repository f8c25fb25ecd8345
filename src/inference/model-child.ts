import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";
import { reasonOf } from "../base/errors.ts";
import { type FrameHead, FrameReader } from "./framing.ts";

/** Where an entry lies: beside its parent's file, under the same extension (.ts in a clone, .js in a package). */
export const entryBeside = (url: string, name: string): string =>
  fileURLToPath(new URL(`./${name}.${url.endsWith(".ts") ? "ts" : "js"}`, url));

const modelProcess = entryBeside(import.meta.url, "model-process");

/** What a model process may see of the environment: where libraries are. Never a secret, never options for Node. */
const passedOn = /^(PATH|LD_LIBRARY_PATH|CUDA_[A-Z_]+|NVIDIA_[A-Z_]+|LANG|LC_ALL|TZ)$/;

/** How much of its standard error is kept, to tell why it ended. */
const lastWordsBytes = 2_048;

export type ChildEnd = { readonly code: number | null; readonly signal: string | null; readonly lastWords: string };

export type ChildOptions = {
  /** File that the process runs. Default: that of the model process. */
  readonly entry?: string;
  /** Options of its Node. Default: a small young generation. */
  readonly flags?: readonly string[];
  /** Set in its environment beside what is passed on. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly niceness: number;
  readonly oomScore: number;
  onFrame(head: FrameHead, body: Uint8Array): void;
  /** Called once, when the process is gone and all it sent has been read. */
  onEnd(end: ChildEnd): void;
};

/** One life of the model process, or of another that speaks in its frames on file descriptor 3. */
export class ModelChild {
  readonly #process: ChildProcess;
  readonly #socket: Duplex;

  constructor(options: ChildOptions) {
    const { entry = modelProcess, flags = ["--max-semi-space-size=2"], niceness, oomScore, onFrame, onEnd } = options;
    const passed = Object.entries(process.env).filter(([name]) => passedOn.test(name));
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", ...flags, entry, `${niceness}`, `${oomScore}`],
      { env: { ...Object.fromEntries(passed), ...options.environment }, stdio: ["ignore", "ignore", "pipe", "pipe"] },
    );
    this.#process = child;
    this.#socket = child.stdio[3] as Duplex;
    let lastWords = "";
    child.stderr?.on("data", (text: Buffer) => {
      lastWords = (lastWords + text.toString()).slice(-lastWordsBytes);
    });
    const reader = new FrameReader(onFrame);
    this.#socket.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (thrown) {
        // A process that does not keep to the language is of no more use; the next one gets its work.
        lastWords = reasonOf(thrown);
        this.kill();
      }
    });
    // A broken socket shows as the end of the process; writes into it are sent again to the next one.
    this.#socket.on("error", () => {});
    let end: ChildEnd | undefined;
    const finish = (code: number | null, signal: string | null, words: string) => {
      if (end) return;
      end = { code, signal, lastWords: words };
      this.#socket.destroy();
      onEnd(end);
    };
    child.on("error", (error) => finish(null, null, error.message));
    child.on("close", (code, signal) => finish(code, signal, lastWords.trim()));
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** The frame's memory must stay as it is until its answer is here. */
  send(frame: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(frame);
  }

  /** Resolves when the socket takes more: whoever sends much must wait for it. */
  async sent(frame: Uint8Array): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(frame)) return;
    const socket = this.#socket;
    await new Promise<void>((resolve) => {
      const done = () => {
        socket.off("drain", done).off("close", done);
        resolve();
      };
      socket.on("drain", done).on("close", done);
    });
  }

  /** Asks it to end; what it has not answered by then stays unanswered. */
  finish(): void {
    this.#socket.end();
  }

  kill(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): void {
    this.#process.kill(signal);
  }
}

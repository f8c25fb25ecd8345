import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

const main = resolve(import.meta.dirname, "../../src/main.ts");

/** `tidegate sink` in a process of its own, and what it logs. */
export class SinkProcess {
  readonly #child: ChildProcess;
  text = "";

  constructor(...options: string[]) {
    this.#child = spawn(process.execPath, [main, "sink", ...options], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      this.text += chunk;
    });
  }

  /** Ends it with SIGTERM; returns its exit code. */
  async stop(): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGTERM");
    const [code] = await ended;
    return code as number | null;
  }
}

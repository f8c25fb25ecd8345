import { spawn } from "node:child_process";
import { resolve } from "node:path";

const main = resolve(import.meta.dirname, "../../src/main.ts");

export type Ran = {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  /** The last line of standard output, parsed: what scripts read with `--json`. */
  readonly json: () => unknown;
};

export type RunOptions = {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Given on standard input. */
  readonly input?: string;
  readonly signal?: AbortSignal;
};

/** Runs one command line of Tidegate in a process of its own. It stops with SIGINT when the signal aborts. */
export function tidegate(words: readonly string[], { cwd, env, input, signal }: RunOptions = {}): Promise<Ran> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [main, ...words], {
      env: { ...process.env, TIDEGATE_CONFIG: undefined, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    const texts = { out: "", err: "" };
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      texts.out += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      texts.err += chunk;
    });
    child.once("error", fail);
    child.once("close", (code) => {
      const json = () => JSON.parse(texts.out.trim().split("\n").at(-1) ?? "");
      done({ code, ...texts, json });
    });
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
    signal?.addEventListener("abort", () => child.kill("SIGINT"), { once: true });
  });
}

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, it } from "vitest";

const script = resolve(import.meta.dirname, "../../scripts/mosquitto.sh");

function find(): string | null {
  try {
    const printed = execFileSync("sh", [script, "--present"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    return printed.trim();
  } catch {
    return null;
  }
}

const binary = find();

/**
 * A suite that needs a real mosquitto. Without one it is left out under its name; with `REQUIRE_REAL=1` it fails, so
 * that a gate cannot turn green by missing what it should have tested.
 */
export function describeReal(name: string, suite: () => void): void {
  if (binary !== null) describe(name, suite);
  else if (process.env.REQUIRE_REAL === "1") {
    describe(name, () => {
      it("finds a mosquitto", () => {
        throw new Error("no mosquitto: scripts/mosquitto.sh did not get one");
      });
    });
  } else describe.skip(`${name} (needs mosquitto: sudo apt-get install mosquitto)`, suite);
}

/** A loopback port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function listening(port: number, child: ChildProcess, said: () => string): Promise<void> {
  // It reads what it saved first: after a kill under load that may be much.
  for (let tries = 0; tries < 6_000; tries++) {
    if (child.exitCode !== null) throw new Error(`mosquitto ended with ${child.exitCode}: ${said()}`);
    const socket = connect(port, "127.0.0.1");
    const isThere = await new Promise<boolean>((done) => {
      socket.once("connect", () => done(true)).once("error", () => done(false));
    });
    socket.destroy();
    if (isThere) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`mosquitto does not listen: ${said()}`);
}

export type Mosquitto = {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** When it last saved its sessions, ms; before everything when it never has. */
  readonly savedAt: number;
  /** Ends it with SIGTERM, which writes the sessions to disk, and removes its directory. */
  stop(): Promise<void>;
  /** Ends it with SIGKILL: what is only in its memory is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port; it must have ended, or is ended with SIGTERM first. */
  restart(): Promise<void>;
  /** Ends it with SIGTERM and keeps its directory for `restart`. */
  pause(): Promise<void>;
};

export type MosquittoOptions = {
  /** Lines of mosquitto.conf, after the listener's. */
  readonly conf?: readonly string[];
  readonly port?: number;
  /** Keep sessions in a file over restarts; false loses them with each. */
  readonly isPersistent?: boolean;
  readonly isAnonymous?: boolean;
};

/** Starts a mosquitto of its own on a free loopback port; stop it in the test's clean-up. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  if (binary === null) throw new Error("no mosquitto here: write the suite with describeReal");
  const port = options.port ?? (await freePort());
  const dir = mkdtempSync(join(tmpdir(), "tidegate-mosquitto-"));
  const isPersistent = options.isPersistent ?? true;
  writeFileSync(
    join(dir, "mosquitto.conf"),
    [
      ...(process.getuid?.() === 0 ? ["user root"] : []),
      `listener ${port} 127.0.0.1`,
      `allow_anonymous ${options.isAnonymous ?? true}`,
      ...(isPersistent ? ["persistence true", `persistence_location ${dir}/`] : []),
      ...(options.conf ?? []),
      "",
    ].join("\n"),
  );

  let child: ChildProcess;
  let said = "";
  const start = async (): Promise<void> => {
    said = "";
    child = spawn(binary, ["-c", join(dir, "mosquitto.conf")], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
    await listening(port, child, () => said);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill(signal);
    await ended;
  };
  await start();
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    get pid() {
      return child.pid ?? 0;
    },
    get savedAt() {
      return statSync(join(dir, "mosquitto.db"), { throwIfNoEntry: false })?.mtimeMs ?? Number.NEGATIVE_INFINITY;
    },
    stop: async () => {
      await end("SIGTERM");
      rmSync(dir, { recursive: true, force: true });
    },
    kill: () => end("SIGKILL"),
    pause: () => end("SIGTERM"),
    restart: async () => {
      await end("SIGTERM");
      await start();
    },
  };
}

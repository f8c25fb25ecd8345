import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Sources that the publisher plays. */
export const motes = 4;
/** Readings that a source needs before its first window of the model is full. */
const windowReadings = 16;
/** Inferences that `readings` of all motes together make. */
export const windowsOf = (readings: number): number => Math.max(0, readings - motes * (windowReadings - 1));

export const modelFile = resolve(import.meta.dirname, "../../models/mote-anomaly/model.onnx");

export type Flood = {
  readonly sent: number;
  readonly acknowledged: number;
  /** ms UTC. */
  readonly startedAt: number;
  readonly payloadBytes: number;
};

/** Publishes `count` readings; at `rate` a second, or as fast as the broker takes them (0). */
export async function publish(port: number, count: number, qos: 0 | 1, rate = 0): Promise<Flood> {
  const file = join(import.meta.dirname, "publisher.ts");
  const child = spawn(process.execPath, [file, `${port}`, `${count}`, `${qos}`, `${rate}`, `${motes}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(await lastLine(child)) as Flood;
}

/** What a peer counted between its first message and its last. */
export type PeerRun = { readonly count: number; readonly seconds: number; readonly cpuSeconds: number };

export const peers = {
  bare: ({ url, count, qos }: PeerArguments) => [
    process.execPath,
    join(import.meta.dirname, "peers/bare-subscriber.ts"),
    ...[url, `${count}`, `${qos}`],
  ],
  plain: ({ url, count, dir }: PeerArguments) => [
    process.execPath,
    join(import.meta.dirname, "peers/plain-script.ts"),
    ...[url, `${count}`, modelFile, join(dir, "plain.db"), `${windowReadings}`],
  ],
  python: ({ port, count, dir }: PeerArguments) => [
    "python3",
    join(import.meta.dirname, "peers/python-script.py"),
    ...[`${port}`, `${count}`, modelFile, join(dir, "python.db"), `${windowReadings}`],
  ],
} as const;

type PeerArguments = { url: string; port: number; count: number; qos: 0 | 1; dir: string };

/** Runs one peer to its end, with the publisher started once it has subscribed. */
export async function runPeer(
  name: keyof typeof peers,
  { url, port }: { readonly url: string; readonly port: number },
  count: number,
  qos: 0 | 1 = 0,
): Promise<PeerRun> {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-peer-"));
  const [command = "", ...args] = peers[name]({ url, port, count, qos, dir });
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const ready = Promise.withResolvers<void>();
    child.once("exit", (code) => ready.reject(new Error(`${name} ended with ${code}`)));
    child.stdout?.on("data", () => ready.resolve());
    const line = lastLine(child);
    await ready.promise;
    await publish(port, count, qos);
    return JSON.parse(await line) as PeerRun;
  } finally {
    if (child.exitCode === null) child.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Whether the Python script has what it needs; the reason when not. */
export function pythonFault(): string | null {
  try {
    execFileSync("python3", ["-c", "import paho.mqtt.client, onnxruntime, nacl.secret, numpy"], { stdio: "pipe" });
    return null;
  } catch (thrown) {
    const { stderr } = thrown as { stderr?: Buffer };
    return stderr?.toString().trim().split("\n").at(-1) ?? "no python3";
  }
}

async function lastLine(child: ChildProcess): Promise<string> {
  let text = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  if (child.exitCode === null) await once(child, "close");
  return text.trim().split("\n").at(-1) ?? "";
}

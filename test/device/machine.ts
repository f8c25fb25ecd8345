import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { freePort } from "../support/mosquitto.ts";

/** What the machine boots from: files of test/device/build-machine.sh, and the installed tree as a disk. */
export type MachineParts = {
  /** Folder with kernel, initrd and base.img. */
  readonly folder: string;
  /** Read-only disk with the installed tree. */
  readonly tree: string;
};

export type MachineOptions = MachineParts & {
  /** The machine's disk, a qcow2 over base.img: what it wrote is still there at the next boot. */
  readonly disk: string;
  /** Raw disk that it has at /var/lib/tidegate, alone: the data can be frozen, and looked at from outside. */
  readonly data: string;
  /** Loopback port that the machine sees as 10.0.2.100:1883. It reaches nothing else. */
  readonly brokerPort: number;
};

export type Answer = { readonly text: string; readonly status: number };

const wire = resolve(import.meta.dirname, "wire.sh");
/** What the device can do without, which takes half of the time of a boot in emulation. */
const idle = [
  ...["systemd.show_status=0", "fsck.mode=skip", "systemd.mask=e2scrub_reap.service"],
  ...["dev-hugepages", "dev-mqueue", "sys-kernel-debug", "sys-kernel-tracing"].map(
    (unit) => `systemd.mask=${unit}.mount`,
  ),
  ...["dm_mod", "loop", "drm", "efi_pstore", "fuse"].map((module) => `systemd.mask=modprobe@${module}.service`),
  ...["serial-getty@ttyAMA0", "getty@tty1"].map((unit) => `systemd.mask=${unit}.service`),
];
const bootLimitMs = 600_000;
const shellPort = 2_222;
/** Stands before the exit status at the end of an answer; no command prints it. */
const statusMark = "\u0001";

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const qemu of running) qemu.kill("SIGKILL");
});

/** One boot of the emulated device. */
export class Machine {
  readonly #qemu: ChildProcess;
  readonly #port: number;
  readonly #ended: Promise<unknown>;
  #console = "";

  private constructor(qemu: ChildProcess, port: number) {
    this.#qemu = qemu;
    this.#port = port;
    this.#ended = once(qemu, "exit");
    for (const stream of [qemu.stdout, qemu.stderr])
      stream?.on("data", (chunk: Buffer) => (this.#console = (this.#console + chunk.toString()).slice(-8_000)));
  }

  /** Switches it on; resolves when its systemd has mounted everything and answers. */
  static async boot({ folder, tree, disk, data, brokerPort }: MachineOptions): Promise<Machine> {
    const port = await freePort();
    const network = [
      ...["user", "id=net", "restrict=on"],
      `guestfwd=tcp:10.0.2.100:1883-cmd:${wire} ${brokerPort}`,
      `hostfwd=tcp:127.0.0.1:${port}-:${shellPort}`,
    ];
    // Writes of the machine go to the page cache of this one: what it has not synced dies with qemu, what it has does not.
    const drive = (file: string, id: string, rest: string) => [
      ...["-drive", `file=${file},if=none,id=${id},${rest}`],
      ...["-device", `virtio-blk-pci,drive=${id}`],
    ];
    const qemu = spawn(
      "qemu-system-aarch64",
      [
        ...["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"],
        ...["-kernel", join(folder, "kernel"), "-initrd", join(folder, "initrd")],
        ...["-append", ["root=/dev/vda rw console=ttyAMA0 quiet loglevel=3", ...idle].join(" ")],
        ...drive(disk, "root", "format=qcow2,cache=writeback"),
        ...drive(tree, "tree", "format=raw,readonly=on"),
        ...drive(data, "data", "format=raw,cache=writeback"),
        ...["-netdev", network.join(","), "-device", "virtio-net-pci,netdev=net,romfile="],
        ...["-nographic", "-no-reboot"],
      ],
      // In a session of its own: Ctrl-C in a terminal is for the test, which then ends the machine.
      { stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    running.add(qemu);
    qemu.once("exit", () => running.delete(qemu));
    const machine = new Machine(qemu, port);
    await machine.#booted();
    return machine;
  }

  get isRunning(): boolean {
    return this.#qemu.exitCode === null && this.#qemu.signalCode === null;
  }

  async #booted(): Promise<void> {
    const end = performance.now() + bootLimitMs;
    while (performance.now() < end) {
      if (!this.isRunning) throw new Error(`the machine went off while it booted:\n${this.#console}`);
      // The port is open before the machine listens.
      const answer = await this.try("true").catch(() => undefined);
      if (answer?.status === 0) return;
      await sleep(200);
    }
    this.pullPlug();
    throw new Error(`the machine did not boot within ${bootLimitMs / 1_000} s:\n${this.#console}`);
  }

  /** Runs a script as root. @throws when no answer comes, because the machine is off or `limitMs` has passed */
  try(script: string, limitMs = 300_000): Promise<Answer> {
    return new Promise((done, fail) => {
      const socket = connect(this.#port, "127.0.0.1");
      const late = setTimeout(() => socket.destroy(new Error(`no answer within ${limitMs} ms to: ${script}`)), limitMs);
      let text = "";
      socket.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      socket.on("error", fail).on("close", () => {
        clearTimeout(late);
        const [said = "", status] = text.split(statusMark);
        if (status === undefined) fail(new Error(`the machine broke off at: ${script}\n${said}`));
        else done({ text: said.trimEnd(), status: Number(status) });
      });
      // A function is read whole before it runs: what it calls cannot read the rest of the script.
      socket.end(`script() {\n${script}\n}\nscript </dev/null\nprintf '\\001%d' $?\n`);
    });
  }

  /** Runs a script as root and returns what it printed. @throws when it fails */
  async run(script: string, limitMs?: number): Promise<string> {
    const { text, status } = await this.try(script, limitMs);
    if (status !== 0) throw new Error(`${script}\nended with ${status}:\n${text}`);
    return text;
  }

  /** Writes a file in the machine. */
  async write(file: string, text: string): Promise<void> {
    const bytes = Buffer.from(text).toString("base64");
    await this.run(`mkdir -p "$(dirname ${file})" && base64 -d >${file} <<'BYTES'\n${bytes}\nBYTES`);
  }

  /** Runs a script again and again until what it prints is as wished. */
  async until(script: string, holds: (text: string) => boolean, what: string, limitMs = 600_000): Promise<string> {
    const end = performance.now() + limitMs;
    let last = "";
    while (performance.now() < end) {
      last = (await this.try(script)).text;
      if (holds(last)) return last;
      await sleep(500);
    }
    throw new Error(`not within ${limitMs / 1_000} s: ${what}; last: ${last}`);
  }

  /** Ends the emulation as a pulled plug ends a machine: nobody in it is told. */
  async pullPlug(): Promise<void> {
    if (this.isRunning) this.#qemu.kill("SIGKILL");
    await this.#ended;
  }

  /** Shuts it down in order. */
  async powerOff(): Promise<void> {
    // It may be off before it has answered.
    await this.try("systemctl poweroff --no-block").catch(() => {});
    const late = setTimeout(() => void this.pullPlug(), 300_000);
    await this.#ended;
    clearTimeout(late);
    if (this.#qemu.signalCode !== null) throw new Error("the machine did not go off by itself");
  }
}

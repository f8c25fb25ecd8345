import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exitCodes } from "../../src/base/errors.ts";

const systemd = resolve("systemd");
const units = ["tidegate.service", "tidegate-sink.service", "tidegate-coordinator.service"];
/** As exposed as a unit may be: `systemd-analyze security` goes from 0 (shut) to 10 (open). */
const maxExposure = 2;

const has = (command: string) => spawnSync(command, ["--version"]).status === 0;
const missing = ["systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"].filter((command) => !has(command));
if (missing.length > 0) console.warn(`left out of ops-units: ${missing.join(", ")} not there`);

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "units-"));
});

afterEach(() => rmSync(folder, { recursive: true }));

function run(command: string, ...args: string[]): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  return { status, text: `${stdout}${stderr}` };
}

const settings = (unit: string, name: string): string[] =>
  readFileSync(join(systemd, unit), "utf8")
    .split("\n")
    .filter((line) => line.startsWith(`${name}=`))
    .map((line) => line.slice(name.length + 1));

/** The unit with this clone's launcher, which stands in for the installed one. */
function installed(unit: string, more = ""): string {
  const text = readFileSync(join(systemd, unit), "utf8").replace(
    "ExecStart=tidegate ",
    `ExecStart=${resolve("bin/tidegate")} `,
  );
  writeFileSync(join(folder, unit), `${text}${more}`);
  return join(folder, unit);
}

describe.skipIf(missing.includes("systemd-analyze"))("the units", () => {
  it.each(units)("%s is understood by systemd, without a warning", (unit) => {
    expect(run("systemd-analyze", "verify", "--recursive-errors=no", installed(unit))).toEqual({ status: 0, text: "" });
  });

  it("would not pass with a setting that systemd does not know", () => {
    const { text } = run("systemd-analyze", "verify", installed("tidegate.service", "\n[Service]\nProtectAll=yes\n"));
    expect(text).toContain("ProtectAll");
  });

  it.each(units)("%s shuts out what it does not need", (unit) => {
    const args = ["security", "--offline=yes", `--threshold=${maxExposure * 10}`, "--no-pager", installed(unit)];
    const { status, text } = run("systemd-analyze", ...args);
    const exposure = Number(/Overall exposure level for \S+ ([\d.]+)/.exec(text)?.[1]);
    expect(exposure).toBeLessThanOrEqual(maxExposure);
    expect(status).toBe(0);
  });

  it("takes the credentials of the example", () => {
    mkdirSync(join(folder, "tidegate.service.d"));
    const example = join(systemd, "tidegate.service.d/credentials.conf.example");
    copyFileSync(example, join(folder, "tidegate.service.d/credentials.conf"));
    expect(run("systemd-analyze", "verify", "--recursive-errors=no", installed("tidegate.service")).text).toBe("");
    expect(readFileSync(example, "utf8").match(/^LoadCredentialEncrypted=\w+\.key:/gm)).toHaveLength(3);
  });

  it("leaves Node what it cannot do without", () => {
    for (const unit of units) {
      expect(settings(unit, "MemoryDenyWriteExecute")).toEqual([]);
      expect(settings(unit, "ProcSubset")).toEqual([]);
    }
    // The last filter gives back three system calls that the one before took: order matters.
    expect(settings("tidegate.service", "SystemCallFilter").at(-1)).toBe(
      "setpriority sched_setscheduler sched_setaffinity",
    );
  });

  it.each(units)("%s is not started again after a fault that a start does not mend", (unit) => {
    const codes = [exitCodes.usage, exitCodes.secret, exitCodes.config];
    expect(settings(unit, "RestartPreventExitStatus")).toEqual([codes.join(" ")]);
    expect(settings(unit, "Restart")).toEqual(["on-failure"]);
    expect(settings(unit, "ConditionPathExists")).toHaveLength(1);
  });
});

describe.skipIf(missing.length > 0 || process.getuid?.() !== 0)("users and folders", () => {
  it("are made as the units need them", () => {
    cpSync(join(systemd, "sysusers.d"), join(folder, "usr/lib/sysusers.d"), { recursive: true });
    cpSync(join(systemd, "tmpfiles.d"), join(folder, "usr/lib/tmpfiles.d"), { recursive: true });
    mkdirSync(join(folder, "etc"));
    expect(run("systemd-sysusers", `--root=${folder}`).status).toBe(0);
    const users = readFileSync(join(folder, "etc/passwd"), "utf8");
    const idOf = (user: string) => Number(new RegExp(`^${user}:x:(\\d+):`, "m").exec(users)?.[1]);
    expect(run("systemd-tmpfiles", `--root=${folder}`, "--create").status).toBe(0);
    const state = statSync(join(folder, "var/lib/tidegate"));
    expect(state.mode & 0o777).toBe(0o700);
    expect(state.uid).toBe(idOf("tidegate"));
    expect(statSync(join(folder, "var/lib/tidegate-sink")).uid).toBe(idOf("tidegate-sink"));
    expect(statSync(join(folder, "etc/tidegate/credentials")).mode & 0o777).toBe(0o700);
    for (const unit of units) expect(idOf(settings(unit, "User")[0] ?? "")).toBeGreaterThan(0);
  });
});

import type { Publisher } from "../support/publisher.ts";
import { type Checks, expectThat } from "./checks.ts";
import {
  ask,
  configFile,
  journalSince,
  mark,
  metric,
  processes,
  properties,
  start,
  unit,
  untilMetric,
} from "./device.ts";
import { type Machine, sleep } from "./machine.ts";

/** Longer than the watchdog of the unit waits, ms. */
const beyondWatchdogMs = 45_000;

/** A fresh boot with the unit enabled and no broker to be found. */
export async function bootChecks(machine: Machine, checks: Checks): Promise<void> {
  await checks.check("an enabled unit is READY after the boot, without a broker", async () => {
    await machine.run("systemctl is-system-running --wait || true", 600_000);
    await machine.until(`systemctl is-active ${unit}`, (text) => text === "active", "the unit is active");
    const { StatusText } = await properties(machine, "StatusText");
    const times = await properties(machine, "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic");
    const seconds = (Number(times.ActiveEnterTimestampMonotonic) - Number(times.ExecMainStartTimestampMonotonic)) / 1e6;
    return `READY ${seconds.toFixed(1)} s (of emulation) after exec; status: ${StatusText}`;
  });
  await checks.check("a broker that is away does not wake the watchdog", async () => {
    const before = await properties(machine, "MainPID", "NRestarts");
    await sleep(beyondWatchdogMs);
    const after = await properties(machine, "MainPID", "NRestarts", "ActiveState", "StatusText");
    expectThat(after.ActiveState === "active", after.ActiveState);
    expectThat(after.MainPID === before.MainPID && after.NRestarts === "0", JSON.stringify(after));
    return `${beyondWatchdogMs / 1_000} s later the same process; status: ${after.StatusText}`;
  });
}

/** The running unit as systemd and the kernel see it. */
export async function hardeningChecks(machine: Machine, checks: Checks): Promise<void> {
  await checks.check("the processes run as `tidegate`, shut in as the unit says", async () => {
    const { main, model } = await processes(machine);
    const facts: string[] = [];
    for (const pid of [main, model]) {
      const user = await machine.run(`stat -c %U /proc/${pid}`);
      const status = await machine.run(`grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/${pid}/status`);
      const value = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, "m").exec(status)?.[1];
      expectThat(user === "tidegate", `process ${pid} is ${user}'s`);
      expectThat(value("NoNewPrivs") === "1" && value("Seccomp") === "2", status);
      expectThat(/^0+$/.test(value("CapEff") ?? "") && /^0+$/.test(value("CapBnd") ?? ""), status);
      facts.push(user);
    }
    return `${facts.join(", ")}; no capabilities, no new privileges, seccomp filter on, in both`;
  });
  await checks.check("the exposure of the loaded unit", async () => {
    const text = await machine.run(`systemd-analyze security --no-pager ${unit} | tail -1`);
    expectThat(Number(/([\d.]+) \w+/.exec(text)?.[1]) <= 2, text);
    return text.replace(/^\W+/, "");
  });
  await checks.check("onnxruntime is in the model process alone; koffi is in the main process", async () => {
    const { main, model } = await processes(machine);
    const maps = async (pid: number, library: string) =>
      Number(await machine.run(`grep -c ${library} /proc/${pid}/maps || true`));
    const seen = {
      "onnxruntime, model process": await maps(model, "libonnxruntime"),
      "onnxruntime, main process": await maps(main, "libonnxruntime"),
      "koffi, main process": await maps(main, "koffi"),
    };
    expectThat(seen["onnxruntime, model process"] > 0 && seen["onnxruntime, main process"] === 0, JSON.stringify(seen));
    expectThat(seen["koffi, main process"] > 0, JSON.stringify(seen));
    return `mappings: ${Object.entries(seen)
      .map(([what, count]) => `${what} ${count}`)
      .join("; ")}`;
  });
  await checks.check("systemd hears the main process itself (NotifyAccess=main)", async () => {
    const dropIn = "/run/systemd/system/tidegate.service.d/main-only.conf";
    await machine.write(dropIn, "[Service]\nNotifyAccess=main\n");
    await machine.run(`systemctl daemon-reload && systemctl stop ${unit}`);
    await start(machine);
    await sleep(beyondWatchdogMs);
    const seen = await properties(machine, "NotifyAccess", "NRestarts", "ActiveState");
    await machine.run(`rm ${dropIn} && systemctl daemon-reload`);
    expectThat(
      seen.NotifyAccess === "main" && seen.ActiveState === "active" && seen.NRestarts === "0",
      JSON.stringify(seen),
    );
    return `READY and ${beyondWatchdogMs / 1_000} s of pets through koffi, with no child allowed to speak`;
  });
  await checks.check("the kernel finds the model process first when memory is short", async () => {
    const { main, model } = await processes(machine);
    const scores = await machine.run(`cat /proc/${main}/oom_score_adj /proc/${model}/oom_score_adj`);
    expectThat(scores === "-250\n500", scores);
    const nice = await machine.run(`ps -o ni= -p ${model}`);
    const from = await mark(machine);
    // The kernel's own choice, as if no memory were left.
    await machine.run("echo f >/proc/sysrq-trigger");
    const next = await machine.until(
      `pgrep -P ${main} -f model-process`,
      (text) => text !== "" && text !== String(model),
      "another model process",
    );
    const seen = await properties(machine, "MainPID", "NRestarts", "ActiveState");
    expectThat(seen.MainPID === String(main) && seen.ActiveState === "active", JSON.stringify(seen));
    const killed = await machine.run(
      `journalctl -k --after-cursor='${from}' -o cat --no-pager | grep -i 'killed process'`,
    );
    expectThat(killed.includes(String(model)), killed);
    return `scores ${scores.replace("\n", " and ")}, nice ${nice.trim()}; after the kernel's kill (sysrq f) of ${model} the daemon goes on with ${next}`;
  });
}

/** Readings come in: the whole path, and what systemd may ask of it. */
export async function workChecks(machine: Machine, checks: Checks, sensors: Publisher): Promise<void> {
  await checks.check("readings are stored and inferred, which onnxruntime does on arm64", async () => {
    await machine.until(`systemctl show ${unit} -p StatusText --value`, (text) => text === "ok", "the daemon is well");
    const before = await metric(machine, "tidegate_readings_stored_total");
    await sensors.send(400);
    await untilMetric(machine, "tidegate_readings_stored_total", before + 400);
    await untilMetric(machine, "tidegate_inferences_total", 1);
    const inferences = await metric(machine, "tidegate_inferences_total");
    return `400 readings stored, ${inferences} windows inferred; the golden samples of the bundle held at loading`;
  });
  await checks.check("`systemctl reload` reads the configuration again", async () => {
    const { main } = await processes(machine);
    const from = await mark(machine);
    await machine.run(`systemctl reload ${unit}`);
    await machine.until(
      `journalctl -u ${unit} --after-cursor='${from}' -o cat --no-pager`,
      (text) => text.includes("configuration reloaded"),
      "the configuration is reloaded",
    );
    await machine.until(`systemctl is-active ${unit}`, (text) => text === "active", "it is active again");
    expectThat((await processes(machine)).main === main, "it is another process");
    return "the same process";
  });
  await checks.check("the group `tidegate` may ask the daemon, others may not", async () => {
    const modes = await machine.run("stat -c '%a %U:%G' /run/tidegate /run/tidegate/control.sock | paste -sd ';'");
    await machine.run("useradd -G tidegate member; useradd stranger");
    const member = await machine.try("runuser -u member -- tidegate status --json");
    const stranger = await machine.try("runuser -u stranger -- tidegate status --json");
    expectThat(member.status === 0 && JSON.parse(member.text).gateway.length > 0, member.text);
    expectThat(stranger.text.includes("may not talk to the daemon"), `a stranger is told: ${stranger.text}`);
    return `${modes}; a member is answered, a stranger gets exit ${stranger.status}`;
  });
  await checks.check("nothing was refused that the daemon needs", async () => {
    const log = await machine.run(`journalctl -u ${unit} -b -o cat --no-pager`);
    const complaints = log.split("\n").filter((line) => /EPERM|EACCES|SIGSYS|not permitted|denied/i.test(line));
    expectThat(complaints.length === 0, complaints.slice(0, 3).join("; "));
    expectThat((await ask(machine, "/healthz")).includes('"status":"ok"'), await ask(machine, "/healthz"));
    return `${log.split("\n").length} lines of log, none of a refusal; /healthz says ok`;
  });
  await checks.check("SIGTERM drains", async () => {
    const from = await mark(machine);
    const sent = sensors.send(500);
    await sleep(300);
    await machine.run(`systemctl stop ${unit}`);
    await sent;
    const seen = await properties(machine, "Result", "ExecMainCode", "ExecMainStatus");
    expectThat(seen.Result === "success" && seen.ExecMainStatus === "0", JSON.stringify(seen));
    const log = await journalSince(machine, from);
    expectThat(/"draining"/.test(log) && /"ended"/.test(log), log.slice(-2_000));
    await start(machine);
    return "exit 0 while 500 readings came in; systemd did not have to kill it (TimeoutStopSec=30)";
  });
  await checks.check("a faulty configuration fails once, and is not tried again", async () => {
    await machine.run(
      `systemctl stop ${unit} && cp ${configFile} /root/good.yaml && echo 'streems: {}' >>${configFile}`,
    );
    const { status } = await machine.try(`systemctl start ${unit}`);
    await sleep(8_000);
    const seen = await properties(machine, "ActiveState", "ExecMainStatus", "NRestarts");
    await machine.run(`cp /root/good.yaml ${configFile} && systemctl reset-failed ${unit}`);
    await start(machine);
    expectThat(status !== 0 && seen.ActiveState === "failed" && seen.ExecMainStatus === "78", JSON.stringify(seen));
    return `exit 78, ${seen.NRestarts} restarts; the mended one starts`;
  });
}

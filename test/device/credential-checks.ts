import { pbkdf2Sync, randomBytes } from "node:crypto";
import { type Checks, expectThat } from "./checks.ts";
import { configFile, dataDir, properties, start, unit } from "./device.ts";
import { shipped } from "./installation.ts";
import type { Machine } from "./machine.ts";

const dropIn = "/etc/systemd/system/tidegate.service.d/credentials.conf";
const site = { user: "gateway", password: `p-${randomBytes(9).toString("hex")}` };

/** The line of mosquitto's password file for the gateway. */
export function passwordLine(): string {
  const salt = randomBytes(12);
  const hash = pbkdf2Sync(site.password, salt, 101, 64, "sha512");
  return `${site.user}:$7$101$${salt.toString("base64")}$${hash.toString("base64")}\n`;
}

/** The shell lines that the example gives in its comment, up to `end`. */
function linesOfExample(end: string): string {
  const lines = [...shipped("tidegate.service.d/credentials.conf.example").matchAll(/^# {6}(.*)$/gm)].map(
    (match) => match[1] ?? "",
  );
  return lines.slice(0, lines.findIndex((line) => line.trim() === end) + 1).join("\n");
}

/** Credentials from systemd, with a broker that asks for a password from now on. */
export async function credentialChecks(machine: Machine, checks: Checks): Promise<void> {
  const isOnline = () =>
    machine.until(`systemctl show ${unit} -p StatusText --value`, (text) => text === "ok", "it is online");

  await checks.check("keys and a password as encrypted credentials, by the example's own lines", async () => {
    const count = () => machine.run("tidegate buffer export --stream env | wc -l");
    const before = await count();
    expectThat(Number(before) > 0, "nothing is stored that could be read again");
    await machine.run(`systemctl stop ${unit}`);
    await machine.run(linesOfExample("done"));
    await machine.run(
      `printf %s '${site.password}' | systemd-creds encrypt --name=site.password - /etc/tidegate/credentials/site.password
mv ${dataDir}/keys /root/keys-before
sed -i 's|^  # username: .*|  username: ${site.user}|; s|^  # passwordFile: .*|  passwordFile: site.password|' ${configFile}`,
    );
    await machine.write(
      dropIn,
      shipped("tidegate.service.d/credentials.conf.example").replace(
        "#LoadCredentialEncrypted=site",
        "LoadCredentialEncrypted=site",
      ),
    );
    await machine.run("systemctl daemon-reload");
    await start(machine);
    await isOnline();
    const { MainPID } = await properties(machine, "MainPID");
    const given = await machine.run(`nsenter -t ${MainPID} -m ls /run/credentials/${unit} | paste -sd ' '`);
    const kept = await machine.try(`ls ${dataDir}/keys/*.key`);
    expectThat(kept.status !== 0, `keys on the disk: ${kept.text}`);
    const after = await count();
    expectThat(after === before, `${before} readings before, ${after} now`);
    const key = await machine.run("systemd-creds has-tpm2 | head -1; ls /var/lib/systemd/credential.secret");
    return `given: ${given}; no key in ${dataDir}; the ${after} readings of before are read with them; the broker lets it in by the password; TPM: ${key.replace("\n", ", host key ")}`;
  });
  await checks.check("a plain credential (LoadCredential)", async () => {
    await machine.run(
      `printf %s '${site.password}' >/etc/tidegate/site.password && chmod 600 /etc/tidegate/site.password
sed -i 's|^LoadCredentialEncrypted=site.password:.*|LoadCredential=site.password:/etc/tidegate/site.password|' ${dropIn}
systemctl daemon-reload && systemctl stop ${unit}`,
    );
    await start(machine);
    await isOnline();
    return "a file that root alone may read, and the broker lets the service in";
  });
  await checks.check(
    "a credential that is not the broker's password is told, and does not end the daemon",
    async () => {
      await machine.run(`echo guess >/etc/tidegate/site.password && systemctl stop ${unit}`);
      await start(machine);
      const text = await machine.until(
        `systemctl show ${unit} -p StatusText --value`,
        (said) => said.startsWith("degraded"),
        "it says so",
      );
      const { ActiveState } = await properties(machine, "ActiveState");
      expectThat(ActiveState === "active", ActiveState);
      await machine.run(`printf %s '${site.password}' >/etc/tidegate/site.password && systemctl stop ${unit}`);
      await start(machine);
      await isOnline();
      return text;
    },
  );
}

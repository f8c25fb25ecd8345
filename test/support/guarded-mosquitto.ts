import { pbkdf2Sync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Mosquitto, startMosquitto } from "./mosquitto.ts";

/**
 * A broker under access rules, as `config acl` writes them. It lets in the users that they name and a `stranger`; the
 * password of each is its name.
 * @param dir  where passwords and rules lie
 */
export function startGuarded(dir: string, name: string, acl: string): Promise<Mosquitto> {
  const users = [...acl.matchAll(/^user (.+)$/gm)].map(([, user]) => user ?? "").concat("stranger");
  const lines = users.map((user) => {
    const salt = randomBytes(12);
    const hash = pbkdf2Sync(user, salt, 101, 64, "sha512").toString("base64");
    return `${user}:$7$101$${salt.toString("base64")}$${hash}\n`;
  });
  writeFileSync(join(dir, `${name}.passwords`), lines.join(""), { mode: 0o600 });
  writeFileSync(join(dir, `${name}.acl`), acl, { mode: 0o600 });
  const conf = [`password_file ${join(dir, `${name}.passwords`)}`, `acl_file ${join(dir, `${name}.acl`)}`];
  return startMosquitto({ isAnonymous: false, conf });
}

import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { atEnd, daemonAt } from "../support/daemon-site.ts";
import { describeReal, startMosquitto } from "../support/mosquitto.ts";
import { alice, base64, seedOf } from "../unit/control/trust-world.ts";
import { jsonOf, tidegate } from "./verbs-fixture.ts";

const policy = `
principals:
  alice: { keys: ["${base64(alice)}"], roles: [operator] }
rules:
  - { allow: [config.set, keys.rotate], roles: [operator] }
`;

describeReal("a gateway whose state.db was lost or put back", () => {
  it("takes nothing from afar until somebody at the site anchors it anew, and says so", async () => {
    const broker = await startMosquitto();
    atEnd(() => broker.stop());
    const daemon = daemonAt(broker.url, { cloud: { url: broker.url }, policy: "policy.yaml" });
    const { dir, dataDir } = daemon;
    writeFileSync(join(dir, "policy.yaml"), policy);
    const key = join(dir, "alice.key");
    writeFileSync(key, Buffer.from(seedOf(alice)).toString("base64"), { mode: 0o600 });
    const verb = (...words: string[]) => tidegate(...words, "--config", join(dir, "tidegate.yaml"));
    const command = ["fleet", "command", "gw-1", "config.check", "--param", "config={}", "--key", key, "--wait", "15s"];
    const ask = async () => {
      await daemon.eventually(({ cloud }) => cloud?.isOnline === true, "is at the cloud's broker");
      const ran = await verb(...command, "--json");
      return { code: ran.code, reason: jsonOf<{ reason?: string }>(ran).reason };
    };
    const files = () => readdirSync(dataDir).filter((name) => name.startsWith("state.db"));
    const policyCheck = async () => {
      const { checks } = jsonOf<{ checks: { name: string; level: string; detail: string }[] }>(
        await verb("check", "--json"),
      );
      return checks.find(({ name }) => name === "policy");
    };

    await daemon.start();
    expect(await ask()).toEqual({ code: 0, reason: undefined });
    expect(await policyCheck()).toMatchObject({
      level: "ok",
      detail: expect.stringContaining("1 principals, 1 rules"),
    });
    await daemon.stop();
    mkdirSync(join(dir, "copy"));
    for (const name of files()) copyFileSync(join(dataDir, name), join(dir, "copy", name));

    await daemon.start();
    expect(await ask()).toMatchObject({ code: 0 });
    await daemon.stop();
    const gone = () => {
      for (const name of files()) rmSync(join(dataDir, name));
    };
    gone();
    for (const name of readdirSync(join(dir, "copy"))) copyFileSync(join(dir, "copy", name), join(dataDir, name));
    await daemon.start();
    expect(await ask()).toEqual({ code: 1, reason: "unanchored" });
    expect((await verb("status")).out).toContain("state.db is an older copy");
    expect(await policyCheck()).toMatchObject({ level: "warn", detail: expect.stringContaining("an older copy") });
    expect(await verb("audit", "anchor")).toMatchObject({ code: 0, out: expect.stringContaining("an older copy") });
    expect(await ask()).toMatchObject({ code: 0 });
    await daemon.stop();

    gone();
    expect(await policyCheck()).toMatchObject({ level: "warn", detail: expect.stringContaining("state.db was lost") });
    await daemon.start();
    expect(await ask()).toEqual({ code: 1, reason: "unanchored" });
    // Silence is no consent: the next start finds the same.
    await daemon.kill();
    await daemon.start();
    expect(await ask()).toEqual({ code: 1, reason: "unanchored" });
    expect(await verb("audit", "anchor")).toMatchObject({ code: 0 });
    expect(await ask()).toMatchObject({ code: 0 });
    const entries = jsonOf<{ name: string; by: string[] }[]>(await verb("audit", "ls", "--json"));
    expect(entries.map(({ name }) => name)).toContain("audit.anchor");
  }, 120_000);
});

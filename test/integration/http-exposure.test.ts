import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { tidegate } from "../support/command-line.ts";
import { Daemon } from "../support/daemon.ts";
import { describeReal, freePort, startMosquitto } from "../support/mosquitto.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** An address of this machine that others could reach. */
const outer = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === "IPv4" && !each.internal)?.address;

describeReal("HTTP beyond this machine", () => {
  it("lets nobody in from afar without the token, says loudly that it is open, and forgets a replaced token at once", async ({
    skip,
  }) => {
    if (outer === undefined) return skip("this machine has no address but the loopback");
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const port = await freePort();
    const daemon = new Daemon({
      sensors: { url: broker.url },
      dashboard: { enabled: true, listen: `0.0.0.0:${port}` },
    });
    stops.push(() => daemon.remove());
    await daemon.start();
    expect(daemon.text).toContain("HTTP is open to other machines");

    const status = async (host: string, token?: string, path = "/metrics") =>
      (
        await fetch(
          `http://${host}:${port}${path}`,
          token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } },
        )
      ).status;
    const config = join(daemon.dir, "tidegate.yaml");
    const token = async (...words: string[]) =>
      (await tidegate(["keys", "token", "--config", config, ...words])).out.trim();
    expect(await status("127.0.0.1")).toBe(200);
    expect(await status(outer)).toBe(401);
    expect(await status(outer, "guess")).toBe(401);
    expect(await status(outer, undefined, "/healthz")).toBe(401);
    const first = await token();
    expect(await status(outer, first)).toBe(200);
    const second = await token("--new");
    expect(second).not.toBe(first);
    expect(await status(outer, first)).toBe(401);
    expect(await status(outer, second)).toBe(200);
    expect(daemon.text).not.toContain(first);

    const { checks } = (await tidegate(["check", "--config", config, "--json"])).json() as {
      checks: { name: string; level: string }[];
    };
    expect(checks.find(({ name }) => name === "http")?.level).toBe("warn");
  });

  it("shows the daemon's keys through its socket to who cannot read them", async () => {
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const daemon = new Daemon({ sensors: { url: broker.url } });
    stops.push(() => daemon.remove());
    await daemon.start();
    const config = join(daemon.dir, "tidegate.yaml");
    const show = async (env: Record<string, string> = {}) =>
      (await tidegate(["keys", "show", "--config", config, "--json"], { env })).json();
    const own = await show();
    // What lies among the credentials comes first, and this cannot be read: as for a member of the group beside the unit.
    const { mkdirSync, writeFileSync } = await import("node:fs");
    const credentials = join(daemon.dir, "credentials");
    mkdirSync(credentials);
    writeFileSync(join(credentials, "storage.key"), "nothing of use", { mode: 0o644 });
    expect(await show({ CREDENTIALS_DIRECTORY: credentials })).toEqual(own);
  });
});

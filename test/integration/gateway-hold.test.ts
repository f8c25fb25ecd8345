import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { expect, it } from "vitest";
import { moteStream } from "../support/daemon.ts";
import { atEnd, daemonAt, openSite } from "../support/daemon-site.ts";
import { describeReal } from "../support/mosquitto.ts";

/** Mounts a disk of its own, in memory; false where that is not allowed. */
function mountDisk(dir: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", dir], { stdio: "pipe" });
    return true;
  } catch {
    return false;
  }
}

const probe = mkdtempSync(join(tmpdir(), "tidegate-probe-"));
const canMount = mountDisk(probe);
if (canMount) execFileSync("umount", [probe]);
rmdirSync(probe);
if (!canMount) console.log("a gateway that holds: left out, a disk of its own needs root");

const [texts, textBytes] = [60, 60_000];

describeReal("a gateway that holds while its disk is full", () => {
  it.skipIf(!canMount)(
    "answers who asks for what is stored, and stores what it held when there is room again",
    async () => {
      const { broker } = await openSite();
      const streams = { env: { ...moteStream, qos: 1 }, notes: { topic: "notes/{desk}", codec: "text", qos: 1 } };
      const daemon = daemonAt(broker.url, { streams, buffer: { onFull: "hold" } });
      mkdirSync(daemon.dataDir);
      mountDisk(daemon.dataDir);
      atEnd(async () => {
        await daemon.kill();
        execFileSync("umount", [daemon.dataDir]);
      });
      await daemon.start();
      const client = await connectAsync(broker.url);
      atEnd(() => client.endAsync(true));
      const ballast = join(daemon.dataDir, "ballast");
      expect(() => writeFileSync(ballast, Buffer.alloc(9 * 2 ** 20))).toThrow("ENOSPC");
      for (let n = 0; n < texts; n++)
        await client.publishAsync("notes/d", randomBytes(textBytes).toString("hex"), { qos: 1 });
      await daemon.eventually(({ health }) => health.parts.disk?.state === "degraded", "finds its disk full");

      const asked = performance.now();
      await daemon.ask("buffer.export", { stream: "env" });
      expect(performance.now() - asked).toBeLessThan(2_000);
      const { health, streams: held } = await daemon.status();
      expect(health.parts.disk?.state).toBe("degraded");
      expect(held.notes?.stored).toBeLessThan(texts);

      rmSync(ballast);
      await daemon.eventually(({ streams }) => streams.notes?.stored === texts, "stores what it held");
    },
    60_000,
  );
});

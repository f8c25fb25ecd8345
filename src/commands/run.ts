import { systemClock } from "../base/clock.ts";
import { reasonOf } from "../base/errors.ts";
import { within } from "../base/lifecycle.ts";
import type { Tree } from "../config/layers.ts";
import { Twin } from "../control/twin.ts";
import { TwinStore } from "../control/twin-store.ts";
import { openKeyRing } from "../crypto/key-ring.ts";
import { bindMachine } from "../crypto/machine.ts";
import { createLog } from "../ops/log.ts";
import { keyPlace } from "./keys/passphrase.ts";
import { Daemon } from "./run/daemon.ts";
import { loadGateway } from "./run/load-gateway.ts";
import { configOption, type Define } from "./verb.ts";
import { packageVersion } from "./version.ts";

/** Longest time for a drain; systemd's own deadline is longer. */
const drainMs = 20_000;

export const define: Define = (command, io) => {
  command
    .option(...configOption)
    .addHelpText(
      "after",
      "\nExample: tidegate run --config ./tidegate.yaml\nSIGHUP reads the configuration again; SIGTERM drains and ends.",
    )
    .action(async (options: { config?: string }) => {
      const load = (remote: Tree | null) => loadGateway(io, options, remote);
      const { config, file, profile } = load(null);
      const log = createLog({ level: config.gateway.logLevel });
      const { dataDir } = config.gateway;
      const credentialsDir = io.env.CREDENTIALS_DIRECTORY;
      const place = await keyPlace(io, dataDir);
      const keys = openKeyRing(place);
      bindMachine({ dataDir, storageRoot: keys.storageRoot });
      if (keys.isNew)
        log.warn(
          { dir: `${dataDir}/keys` },
          "keys made: back them up with `tidegate keys backup`, or the data die with this disk",
        );
      log.info({ file, profile: profile.name, version: packageVersion(), node: process.version }, "starting");
      const store = new TwinStore(dataDir, keys.storageRoot);
      const twin = new Twin({ store, load, clock: systemClock, log });
      await twin.begin();
      const daemon = new Daemon({
        twin,
        place,
        keys,
        version: packageVersion(),
        clock: systemClock,
        log,
        credentialsDir,
        env: io.env,
      });
      const hangUp = () => void daemon.reload();
      process.on("SIGHUP", hangUp);
      try {
        const hasStarted = await untilEnd(daemon, io.signal);
        log.info("draining");
        // What was half open may not close as it should: that is no fault of one that was told to end.
        await daemon.stop(drainMs).catch((thrown: unknown) => {
          if (hasStarted) throw thrown;
          log.warn({ reason: reasonOf(thrown) }, "ended in the middle of its start");
        });
        log.info("ended");
      } catch (thrown) {
        log.error({ reason: reasonOf(thrown) }, "ended by a fault");
        throw thrown;
      } finally {
        process.off("SIGHUP", hangUp);
        log.flush();
      }
    });
};

/**
 * Starts it; resolves when it is told to end, be it in the middle of its start.
 * @returns whether it had started
 * @throws what it cannot go on with
 */
async function untilEnd(daemon: Daemon, signal: AbortSignal): Promise<boolean> {
  const isTold = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  try {
    const starting = daemon.start(signal);
    await Promise.race([isTold, starting]);
    if (signal.aborted) {
      // It sees for itself that it is to end, between two of its steps, and closes what it has opened.
      await within(starting, drainMs / 2, "the start").catch(() => {});
      return false;
    }
    await Promise.race([isTold, daemon.failed]);
    return true;
  } catch (thrown) {
    // A start that is told to end fails.
    if (signal.aborted) return false;
    await daemon.stop(drainMs).catch(() => {});
    throw thrown;
  }
}

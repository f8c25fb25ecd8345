import { TidegateError } from "../base/errors.ts";
import { sleep } from "../base/lifecycle.ts";
import { ControlClient } from "../ops/control-client.ts";
import { loadFor } from "./load-configuration.ts";
import { controlSocket } from "./run/control-socket.ts";
import { askOnce, askStatus, type DaemonStatus } from "./status/daemon-status.ts";
import { renderStatus } from "./status/screen.ts";
import { LiveLines } from "./terminal/live-lines.ts";
import { configOption, type Define, type Io, jsonOption } from "./verb.ts";

type Options = { once?: boolean; config?: string; json?: boolean };

const redrawMs = 1_000;
const liveSources = 12;
const plainSources = 100;

export const define: Define = (command, io) => {
  command
    .option("--once", "tell once and end; so it does wherever it cannot redraw")
    .option(...configOption)
    .option(...jsonOption)
    .addHelpText("after", "\nExample: tidegate status\nOn a terminal it stays and redraws itself; Ctrl-C ends it.")
    .action(async (options: Options) => {
      const socket = controlSocket(loadFor(io, options));
      if (options.json) io.out(JSON.stringify(await askOnce(socket, io.signal)));
      else if (options.once || !io.interactive) {
        for (const line of renderStatus(await askOnce(socket, io.signal), { maxSources: plainSources })) io.out(line);
      } else await watch(io, socket);
    });
};

/** Redraws until the user ends it; a daemon that is restarted meanwhile is found again. */
async function watch(io: Io, socket: string): Promise<void> {
  const lines = new LiveLines(io);
  let client: ControlClient | undefined = await ControlClient.connect(socket);
  let before: { status: DaemonStatus; at: number } | undefined;
  while (!io.signal.aborted) {
    try {
      client ??= await ControlClient.connect(socket);
      const status = await askStatus(client, io.signal);
      const at = performance.now();
      const earlier = before && { status: before.status, ageMs: at - before.at };
      lines.show(renderStatus(status, { before: earlier, maxSources: liveSources }), "");
      before = { status, at };
    } catch (thrown) {
      if (!(thrown instanceof TidegateError) || thrown.code === "CONTROL_DENIED") throw thrown;
      client?.close();
      client = undefined;
      if (!io.signal.aborted) lines.show([`${thrown.message}; waiting for it`], "");
    }
    await sleep(redrawMs, io.signal);
  }
  client?.close();
}

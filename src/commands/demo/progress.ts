import { renderBytes } from "../../base/units.ts";
import type { Gateway } from "../../gateway.ts";
import { bar } from "../terminal/chart.ts";
import type { LiveLines } from "../terminal/live-lines.ts";

export type ProgressOptions = {
  readonly lines: LiveLines;
  readonly gateway: Gateway;
  readonly sink: { readonly messages: number };
  readonly total: number;
  /** When the replay began, as `performance.now()` gives it. */
  readonly start: number;
};

/** The demo's live block: what has been done so far. */
export class Progress {
  readonly #options: ProgressOptions;
  #isAsking = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  async show(isLast = false): Promise<void> {
    if (this.#isAsking && !isLast) return;
    this.#isAsking = true;
    try {
      await this.#draw();
    } finally {
      this.#isAsking = false;
    }
  }

  async #draw(): Promise<void> {
    const { lines, gateway, sink, total, start } = this.#options;
    const stats = await gateway.journal.stats();
    const { env } = gateway.status().streams;
    if (!env) return;
    const seconds = Math.max(0.001, (performance.now() - start) / 1000);
    const rate = Math.round(env.readings / seconds).toLocaleString("en-US");
    const stored = stats.streams.env;
    const alarming = env.sources.filter(({ verdict }) => verdict === "alarm").map(({ source }) => source);
    const share = env.readings / total;
    const memory = renderBytes(process.memoryUsage.rss());
    lines.show(
      [
        `replay      ${bar(share, 30)}  ${env.readings.toLocaleString("en-US")} readings, ${rate}/s`,
        `models      ${env.inferences.toLocaleString("en-US")} inferences, ${env.results.toLocaleString("en-US")} results; alarm now: ${alarming.length > 0 ? `mote ${alarming.join(", ")}` : "none"}`,
        `journal     ${stored?.blocks ?? 0} blocks, ${stored?.tails ?? 0} tails, ${renderBytes(stats.fileBytes + stats.walBytes)}`,
        `cloud       ${stats.outbox.messages} owed, ${sink.messages} at the sink`,
        `memory      ${memory}`,
      ],
      `${Math.round(share * 100)} %: ${env.readings} readings (${rate}/s), ${env.inferences} inferences, ${stored?.blocks ?? 0} blocks, ${sink.messages} at the sink, ${memory}`,
    );
  }
}

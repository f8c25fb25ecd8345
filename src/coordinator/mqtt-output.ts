import { TidegateError } from "../base/errors.ts";
import { publishReasons } from "../wire/uplink-flights.ts";
import type { SinkErasure } from "./sink-erasures.ts";
import type { Delivery, SinkOutput } from "./sink-output.ts";

export type MqttOutputOptions = {
  readonly link: {
    publish(
      topic: string,
      payload: string,
      options: { qos: 1; retain: false; contentType: string },
    ): Promise<{ readonly reason: number }>;
  };
  /** Topics are `{prefix}/{fleet}/{gateway}/{stream}/{kind}`. */
  readonly prefix: string;
};

/** Lines that wait for the broker at once. */
const maxFlying = 256;

/**
 * Publishes one plain message (JSON, QoS 1) a line. The broker has to say for each that it has taken it, and that
 * somebody has subscribed, where it can tell: else the lines come again, so a crash or a refusal in between can repeat
 * some; their `id` tells.
 */
export class MqttOutput implements SinkOutput {
  readonly name = "mqtt";
  readonly #options: MqttOutputOptions;

  constructor(options: MqttOutputOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {}

  async write(deliveries: readonly Delivery[]): Promise<Record<string, never>> {
    const { link, prefix } = this.#options;
    const options = { qos: 1, retain: false, contentType: "application/json" } as const;
    let flying: Promise<{ readonly reason: number }>[] = [];
    const settle = async () => {
      const answers = await Promise.all(flying);
      flying = [];
      const bad = answers.find(({ reason }) => reason >= publishReasons.refused || reason === publishReasons.nobody);
      if (bad) throw new TidegateError("OUTPUT_REFUSED", { reason: bad.reason, output: this.name });
    };
    for (const { head, lines } of deliveries) {
      const topic = `${prefix}/${head.fleet}/${head.gateway}/${head.stream}/${head.kind}`;
      for (const line of lines) {
        flying.push(link.publish(topic, line, options));
        if (flying.length >= maxFlying) await settle();
      }
    }
    await settle();
    return {};
  }

  /** Passes it on: whoever keeps what was published is told. */
  async erase({ fleet, gateway, stream, incarnation, n, notice }: SinkErasure): Promise<number> {
    const { link, prefix } = this.#options;
    const { request, at, upTo } = notice;
    const body = JSON.stringify({ fleet, gateway, kind: "erase", lane: "erase", incarnation, n, ...request, at, upTo });
    const options = { qos: 1, retain: false, contentType: "application/json" } as const;
    const { reason } = await link.publish(`${prefix}/${fleet}/${gateway}/${stream}/erase`, body, options);
    if (reason >= publishReasons.refused || reason === publishReasons.nobody)
      throw new TidegateError("OUTPUT_REFUSED", { reason, output: this.name });
    return 0;
  }

  async close(): Promise<void> {}
}

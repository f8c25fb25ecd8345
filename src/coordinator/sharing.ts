import { randomBytes } from "node:crypto";
import { shared } from "../wire/topics.ts";

type ProbeLink = {
  reconcile(subscriptions: readonly { topic: string; qos: 0 | 1; retained: "ignore" }[]): Promise<void>;
  publish(topic: string, payload: string, options: { qos: 0 | 1; retain: boolean }): Promise<unknown>;
};

const answerMs = 3_000;

/**
 * Finds out whether a broker serves shared subscriptions, by subscribing one and sending to it: some accept them and
 * then deliver nothing, so only the attempt tells.
 */
export class SharingProbe {
  /** Under a gateway's receipts, where a sink may publish anyway. */
  readonly topic = `tidegate/v1/probe/gateways/${randomBytes(8).toString("hex")}/receipts/probe`;
  #answer: (() => void) | undefined;

  /** Every message of the link has to pass here. True when it was the probe's own. */
  receive(topic: string): boolean {
    if (topic !== this.topic) return false;
    this.#answer?.();
    return true;
  }

  /** True when a message came back through a shared subscription. Needs a link that is online. */
  async run(link: ProbeLink, waitMs = answerMs): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const answered = new Promise<boolean>((resolve) => {
      this.#answer = () => resolve(true);
      timer = setTimeout(() => resolve(false), waitMs);
    });
    try {
      await link.reconcile([{ topic: shared("probe", this.topic), qos: 0, retained: "ignore" }]);
      // A broker that closes the connection over it answers nothing either.
      void link.publish(this.topic, "probe", { qos: 0, retain: false }).catch(() => {});
      return await answered;
    } finally {
      clearTimeout(timer);
      this.#answer = undefined;
    }
  }
}

import { within } from "../base/lifecycle.ts";
import type { Log } from "../base/log.ts";
import type { MqttConnection } from "../drivers/mqtt.ts";
import { refusalReason } from "./link-errors.ts";
import type { SubscriptionPlan, Subscriptions } from "./link-subscriptions.ts";

export type ConversationParts = {
  readonly connection: MqttConnection;
  readonly subscriptions: Subscriptions;
  readonly timeoutMs: number;
  readonly name: string;
  readonly log: Log;
};

/**
 * Says to the broker what a plan holds, and notes its answers. False: the connection ended before all was said.
 *
 * @throws TidegateError TIMEOUT when the broker does not answer
 */
export async function carryOut(plan: SubscriptionPlan, parts: ConversationParts): Promise<boolean> {
  const { connection, subscriptions, timeoutMs, name, log } = parts;
  const { unsubscribe, subscribe } = plan;
  if (unsubscribe.length > 0) {
    await within(connection.unsubscribe(unsubscribe), timeoutMs, "the broker");
    if (connection.isOpen) for (const topic of unsubscribe) subscriptions.dropped(topic);
  }
  if (subscribe.length === 0 || !connection.isOpen) return connection.isOpen;
  const codes = await within(connection.subscribe(subscribe), timeoutMs, "the broker");
  if (codes === null && connection.isOpen) connection.abort("protocol", "a subscription was not answered as it must");
  if (codes === null || !connection.isOpen) return false;
  for (const [at, asked] of subscribe.entries()) {
    const code = codes[at] ?? 128;
    subscriptions.answered(asked, code);
    const facts = { link: name, topic: asked.topic, reason: refusalReason(code) };
    if (code >= 128) log.error(facts, "the broker refuses a subscription: look at its access rules");
    else if (code < asked.qos) log.warn(facts, "the broker grants QoS 0 only: messages may be lost");
  }
  return true;
}

import { type ErrorCode, TidegateError } from "../base/errors.ts";
import type { MqttEnd } from "../drivers/mqtt.ts";

const codes: Record<MqttEnd["why"], ErrorCode> = {
  refused: "BROKER_REFUSED",
  unreachable: "BROKER_UNREACHABLE",
  untrusted: "BROKER_UNTRUSTED",
  protocol: "BROKER_PROTOCOL",
  taken: "BROKER_CLOSED",
  closed: "BROKER_CLOSED",
};

/** The end of a connection as an error with its remedy. */
export const endError = (end: MqttEnd, url: string, clientId: string): TidegateError =>
  new TidegateError(codes[end.why], {
    url,
    clientId,
    reason: end.reason,
    ...(end.code === null ? {} : { reasonCode: end.code }),
  });

/** What a refusal of a subscription or message means (MQTT 5 reason codes; 128 is all that MQTT 3.1.1 says). */
export function refusalReason(code: number): string {
  const reasons: Record<number, string> = {
    131: "an error of the broker's own",
    135: "this user is not authorized",
    143: "the topic filter is not valid there",
    144: "the topic name is not valid there",
    151: "a quota is exceeded",
    153: "the payload's format is not valid",
    158: "shared subscriptions are not supported",
    161: "subscription identifiers are not supported",
    162: "wildcards are not supported",
  };
  return reasons[code] ?? `reason ${code}`;
}

/** How a gateway does: averages since it was started with its configuration. */
export type Vitals = {
  readonly seconds: number;
  readonly isHealthy: boolean;
  readonly siteOnline: boolean;
  /** Null: there is no cloud. */
  readonly cloudOnline: boolean | null;
  readonly messagesPerSecond: number;
  readonly inferencesPerSecond: number;
  /** Dead letters and lost windows for each message. */
  readonly faultShare: number;
  readonly memoryBytes: number;
};

export type TrialVerdict =
  | { readonly verdict: "commit" | "wait" }
  | { readonly verdict: "revert"; readonly reason: string };

/** Of results less than this share, at the same rate of messages, is a loss; of messages less than this tells nothing. */
const [leastResults, leastMessages] = [0.1, 0.2];
const moreFaults = 0.1;
const [memoryFactor, memoryRoom] = [1.5, 64 * 2 ** 20];

/**
 * Compares a configuration on trial with what was before. A broker that was away before says nothing about it: while
 * the site's is, there is nothing to compare, and the trial goes on.
 */
export function judgeTrial(before: Vitals | null, now: Vitals): TrialVerdict {
  const revert = (reason: string): TrialVerdict => ({ verdict: "revert", reason });
  if (!now.isHealthy) return revert("the gateway is not healthy");
  if (!now.siteOnline) return before?.siteOnline ? revert("the site's broker is lost") : { verdict: "wait" };
  if (now.cloudOnline === false && before?.cloudOnline) return revert("the cloud's broker is lost");
  if (!before) return { verdict: "commit" };
  const isFed = before.messagesPerSecond > 0 && now.messagesPerSecond >= leastMessages * before.messagesPerSecond;
  if (isFed && now.inferencesPerSecond < leastResults * before.inferencesPerSecond)
    return revert("results have ceased");
  if (isFed && now.faultShare > before.faultShare + moreFaults) return revert("errors have become more");
  if (now.memoryBytes > before.memoryBytes * memoryFactor + memoryRoom) return revert("it takes too much memory");
  return { verdict: "commit" };
}

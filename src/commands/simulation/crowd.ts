import { join } from "node:path";
import { silentLog } from "../../base/log.ts";
import { seededRandom } from "../../base/random.ts";
import type { RoundStanding } from "../../federated/client/model-rounds.ts";
import { LightGateway } from "./light-gateway.ts";
import { type Misconduct, traitsOf } from "./misconduct.ts";
import { commonOptimum, quadraticLearner } from "./quadratic.ts";

/** A population of simulated gateways; a plain value, since it goes to other processes. */
export type CrowdPlan = {
  readonly url: string;
  readonly fleet: string;
  readonly model: string;
  /** Parameters of the model. */
  readonly length: number;
  readonly gateways: number;
  readonly seed: number;
  readonly misconduct: Misconduct;
  readonly maxPayload: number;
  /** Raw public key of the coordinator. */
  readonly trusted: Uint8Array;
  readonly dir: string;
};

/** Ends of rounds on the gateways, by state, and bytes of parts that were sent. */
export type CrowdCounts = { readonly ends: Readonly<Record<string, number>>; readonly sentBytes: number };

export const gatewayName = (i: number): string => `sim-${String(i + 1).padStart(5, "0")}`;

const connectingAtOnce = 50;
const connectMs = 60_000;

/** Some of the gateways of a plan, in one process: number `from` up to but not including `to`. */
export class Crowd {
  readonly gateways: readonly LightGateway[];
  readonly #ends: Record<string, number> = {};

  constructor(plan: CrowdPlan, from: number, to: number) {
    const { url, fleet, model, length, seed, maxPayload, trusted, dir, misconduct } = plan;
    const traits = traitsOf(plan.gateways, seed, misconduct);
    const optimum = commonOptimum(length, seed);
    let first: LightGateway | undefined;
    this.gateways = traits.slice(from, to).map((own, at) => {
      const number = from + at;
      const id = gatewayName(number);
      const random = seededRandom(1_000_003 * seed + number);
      const gateway: LightGateway = new LightGateway({
        ...{ id, url, fleet, model, trusted: [trusted], dir: join(dir, id), traits: own, random, maxPayload },
        learner: quadraticLearner(optimum, 7_919 * seed + number, random),
        // Of a process one gateway fetches the base, for all.
        ...(first ? { bases: first.bases } : {}),
        onStanding: (_, { state }) => this.#count(state),
        log: silentLog,
      });
      first ??= gateway;
      return gateway;
    });
  }

  get keys(): { id: string; key: Uint8Array }[] {
    return this.gateways.map(({ id, keys }) => ({ id, key: keys.signer.publicKey }));
  }

  get counts(): CrowdCounts {
    return { ends: this.#ends, sentBytes: this.gateways.reduce((sum, { sentBytes }) => sum + sentBytes, 0) };
  }

  /** Resolves when all are connected, a few at a time: a broker takes a thousand at once no better. */
  async start(): Promise<void> {
    for (let at = 0; at < this.gateways.length; at += connectingAtOnce)
      await Promise.all(
        this.gateways.slice(at, at + connectingAtOnce).map(async (gateway) => {
          await gateway.start();
          await gateway.link.online(connectMs);
        }),
      );
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop()));
  }

  #count(state: RoundStanding["state"]): void {
    if (state === "waiting" || state === "training" || state === "sending") return;
    this.#ends[state] = (this.#ends[state] ?? 0) + 1;
  }
}

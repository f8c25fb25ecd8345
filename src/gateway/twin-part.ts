import { hash } from "node:crypto";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { configJsonSchema } from "../config/json-schema.ts";
import { isTree, type Tree } from "../config/layers.ts";
import { DocumentQueue } from "../control/document-queue.ts";
import { overlayNeeds } from "../control/overlay-rules.ts";
import type { Twin } from "../control/twin.ts";
import type { TwinOutcome } from "../control/twin-state.ts";
import { fleetTopics } from "../wire/topics.ts";
import type { CloudPart, CloudRoute, CloudSide } from "./cloud-side.ts";
import type { Trust } from "./trust.ts";

export type TwinPartOptions = {
  readonly config: Config;
  readonly version: string;
  readonly twin: Twin;
  readonly trust: Pick<Trust, "gate" | "audit" | "policy">;
  readonly cloud: () => Pick<CloudSide, "publish"> | null;
  readonly log: Log;
};

/** What the fleet tells versions of the configuration's form apart by. */
const schemaHash = (): string => hash("sha256", JSON.stringify(configJsonSchema()), "hex").slice(0, 32);

/** The conversation about the configuration: desired comes in through the gate, reported goes out, retained. */
export class TwinPart implements CloudPart {
  readonly name = "twin";
  readonly routes: readonly CloudRoute[];
  readonly #options: TwinPartOptions;
  readonly #topic: string;
  readonly #desired: DocumentQueue;
  /** The newest document that was refused: told until another one comes. */
  #refusal: { readonly reason: string } | null = null;

  constructor(options: TwinPartOptions) {
    this.#options = options;
    const { fleet, id } = options.config.gateway;
    const topics = fleetTopics(fleet).gateway(id);
    this.#topic = topics.twinReported;
    this.#desired = new DocumentQueue("desired configurations", options.log);
    this.routes = [
      {
        filter: topics.twinDesired,
        retained: "each",
        // An empty one is the broker's word for "there is none any more".
        onMessage: ({ payload }) => {
          if (payload.length > 0) void this.#desired.add(payload, (envelope) => this.#take(envelope));
        },
      },
    ];
  }

  async start(): Promise<void> {
    void this.#report();
  }

  async stop(): Promise<void> {}

  async #take(envelope: Uint8Array): Promise<void> {
    const { trust, twin, log } = this.#options;
    try {
      const {
        document,
        signedBy,
        hash: contentHash,
      } = await trust.gate.accept("twin-desired", envelope, (said) => {
        const { action, resource } = overlayNeeds(configOf(said));
        return { action, resource };
      });
      this.#refusal = null;
      const overlay = { version: document.version, hash: contentHash, config: configOf(document) };
      // Nothing waits for it here: it starts the parts that talk with the cloud anew, this one among them.
      void twin.propose(overlay, trust.policy, signedBy);
    } catch (thrown) {
      if (!(thrown instanceof TidegateError) || thrown.code !== "DOCUMENT_REFUSED")
        return log.error({ reason: reasonOf(thrown) }, "a desired configuration could not be judged");
      this.#refusal = { reason: String(thrown.facts.reason) };
      void this.#report();
    }
  }

  /** Tells and writes down what became of a configuration; null: something else in the report has changed. */
  async changed(outcome: TwinOutcome | null): Promise<void> {
    void this.#report();
    if (!outcome) return;
    const { outcome: what, reason, version, hash: contentHash, errors } = outcome;
    await this.#options.trust.audit
      .append({
        ...{
          what: "config",
          outcome: what === "committed" || what === "reset" ? "done" : "failed",
          name: what,
          by: [],
        },
        ...(reason === undefined ? {} : { reason }),
        detail: { version, hash: contentHash, errors: errors?.slice(0, 20) },
      })
      .catch((thrown: unknown) =>
        this.#options.log.error({ reason: reasonOf(thrown) }, "a decision was not written down"),
      );
  }

  async #report(): Promise<void> {
    const { twin, version, cloud, log } = this.#options;
    const report = { ...twin.report, refused: this.#refusal, schema: schemaHash(), version };
    try {
      await cloud()?.publish(this.#topic, JSON.stringify(report), { retain: true });
    } catch (thrown) {
      log.debug({ reason: reasonOf(thrown) }, "the state of the configuration was not told");
    }
  }
}

/** @throws Error when it has none: it is malformed then */
function configOf({ config }: Readonly<Record<string, unknown>>): Tree {
  if (!isTree(config)) throw new Error("it has no configuration");
  return config;
}

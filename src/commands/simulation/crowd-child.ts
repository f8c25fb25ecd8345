import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { TidegateError } from "../../base/errors.ts";
import { entryBeside } from "../../inference/model-child.ts";
import type { CrowdCounts, CrowdPlan } from "./crowd.ts";

export type CrowdOrder =
  | { readonly order: "make"; readonly plan: CrowdPlan; readonly from: number; readonly to: number }
  | { readonly order: "start" | "count" | "stop" };
export type CrowdAnswer =
  | { readonly answer: "made"; readonly keys: readonly { readonly id: string; readonly key: Uint8Array }[] }
  | { readonly answer: "started" }
  | { readonly answer: "counted"; readonly counts: CrowdCounts };

const entry = entryBeside(import.meta.url, "crowd-process");
const stopMs = 10_000;

/** A process with a part of the simulated gateways. */
export class CrowdChild {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor() {
    this.#child = fork(entry, [], { serialization: "advanced", execArgv: ["--disable-warning=ExperimentalWarning"] });
    this.#ended = once(this.#child, "exit");
  }

  async make(plan: CrowdPlan, from: number, to: number): Promise<{ id: string; key: Uint8Array }[]> {
    const answer = await this.#ask({ order: "make", plan, from, to });
    return answer.answer === "made" ? answer.keys.map(({ id, key }) => ({ id, key: new Uint8Array(key) })) : [];
  }

  async start(): Promise<void> {
    await this.#ask({ order: "start" });
  }

  async counts(): Promise<CrowdCounts> {
    const answer = await this.#ask({ order: "count" });
    return answer.answer === "counted" ? answer.counts : { ends: {}, sentBytes: 0 };
  }

  async stop(): Promise<void> {
    if (!this.#child.connected) return;
    this.#child.send({ order: "stop" } satisfies CrowdOrder);
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), stopMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** One order at a time: answers come in order. */
  async #ask(order: CrowdOrder): Promise<CrowdAnswer> {
    const answer = once(this.#child, "message");
    this.#child.send(order);
    const first = await Promise.race([answer, this.#ended]);
    const [told] = first as [CrowdAnswer];
    if (typeof told === "object" && told !== null && "answer" in told) return told;
    throw new TidegateError("BUG", { detail: "a process of the simulation has ended" });
  }
}

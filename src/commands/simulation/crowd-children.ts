import { availableParallelism } from "node:os";
import { TidegateError } from "../../base/errors.ts";
import { templateOptions, templates } from "../../train/templates/template-table.ts";
import type { CrowdPlan } from "./crowd.ts";
import { CrowdChild } from "./crowd-child.ts";

const gatewaysPerProcess = 100;

/** A model with so many numbers; the fleet learns its weights, whatever they mean. */
export function simulatedModel(parameters: number) {
  const options = templateOptions("linear", { name: "simulated", fields: ["x"], target: "y", window: parameters - 1 });
  const made = templates.linear?.make(options);
  if (made) return made;
  throw new TidegateError("BUG", { detail: "there is no template linear" });
}

/** Spreads the gateways of a plan over processes. @param asked  processes; absent: by their number and the cores */
export async function gatherCrowd(plan: CrowdPlan, asked: number | undefined, stops: (() => Promise<unknown>)[]) {
  const { gateways } = plan;
  const wanted = asked ?? Math.min(availableParallelism(), Math.ceil(gateways / gatewaysPerProcess));
  const processes = Math.max(1, Math.min(gateways, wanted));
  const children = Array.from({ length: processes }, () => new CrowdChild());
  stops.push(() => Promise.all(children.map((child) => child.stop())));
  const bound = (n: number): number => Math.round((n * gateways) / processes);
  const keys = await Promise.all(children.map((child, n) => child.make(plan, bound(n), bound(n + 1))));
  return { children, keys: keys.flat() };
}

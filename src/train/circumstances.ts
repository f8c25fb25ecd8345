import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { DataManifest } from "./data-set.ts";
import type { TrainingSettings } from "./schedule.ts";

/** All that the bits of a training depend on. */
export type Circumstances = {
  /** SHA-256, hex: of model.onnx as it was before, and of the training graph that was made of it. */
  readonly model: string;
  readonly graph: string;
  readonly settings: TrainingSettings;
  readonly data: DataManifest;
  /** SHA-256 over the parts of the split, hex. */
  readonly split: string;
  /** Versions of what computes. */
  readonly engine: string;
  /** Model of the processor and a hash of its features: other instructions round in other places. */
  readonly cpu: string;
  /** More threads add up in another order. */
  readonly threads: number;
};

/**
 * What a checkpoint that was made under `then` is worth now.
 *
 * - `exact`: the training ends with the bits that it would have had
 * - `loose`: it goes on, without that promise
 * - `anew`: data that it was trained on has changed or was erased: nothing of it may be used
 * - `other`: it belongs to another model or another training
 */
export type Standing = {
  readonly standing: "exact" | "loose" | "anew" | "other";
  /** What differs, in words. */
  readonly reasons: readonly string[];
};

/** Compares the circumstances of a checkpoint with those of now. */
export function standingOf(then: Circumstances, now: Circumstances): Standing {
  if (then.model !== now.model) return { standing: "other", reasons: ["it was made from another model"] };
  if (then.data.hash !== now.data.hash || then.split !== now.split) {
    const lost = then.data.examples - now.data.examples;
    const how = lost > 0 ? `${lost} of its ${then.data.examples} examples are gone` : "its data has changed";
    return { standing: "anew", reasons: [how] };
  }
  const settings = differing(then.settings, now.settings);
  if (settings.length > 0) return { standing: "other", reasons: [`it was made with another ${settings.join(", ")}`] };
  const reasons = [
    ...(then.engine === now.engine ? [] : [`it was made by ${then.engine}, this is ${now.engine}`]),
    ...(then.graph === now.graph ? [] : ["the training graph is another one"]),
    ...(then.cpu === now.cpu ? [] : [`it was made on ${then.cpu}, this is ${now.cpu}`]),
    ...(then.threads === now.threads ? [] : [`it was made with ${then.threads} threads, not ${now.threads}`]),
  ];
  return { standing: reasons.length === 0 ? "exact" : "loose", reasons };
}

const differing = (a: object, b: object): string[] => {
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].sort();
  const text = (of: object, key: string): string => JSON.stringify((of as Record<string, unknown>)[key]) ?? "";
  return keys.filter((key) => text(a, key) !== text(b, key));
};

/** Model and features of the processor that this runs on. */
export function describeCpu(file = "/proc/cpuinfo"): string {
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return process.arch;
  }
  // x86 says "model name" and "flags"; ARM "CPU part" and "Features".
  const line = (...names: string[]): string =>
    names.map((name) => new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(text)?.[1]).find(Boolean) ?? "";
  const features = sha256(line("flags", "Features")).slice(0, 12);
  return `${line("model name", "Model", "CPU part") || process.arch} (${features})`;
}

export const sha256 = (...parts: readonly (Uint8Array | string)[]): string => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
};

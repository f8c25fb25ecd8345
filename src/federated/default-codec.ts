import { type CodecHeader, codecHeaderSchema } from "./codec-header.ts";
import { type RuleName, rules } from "./rules/rule-table.ts";

/** Below so many parameters an update is a few kilobytes anyhow, and the choice of a few would slow the learning. */
const smallModel = 4_096;
/** Of the largest changes, the part that an update lists: see docs/results.md for what was measured. */
const share = 0.02;

/**
 * How rounds write updates unless the fleet's configuration says otherwise: the signs of the largest 2 % with a residual,
 * about 1/200 of float32. Of a small model everything, as float32 would, and for rules that compare updates, too.
 *
 * @param length  parameters of the model
 * @see Sattler et al. 2019, "Robust and communication-efficient federated learning from non-IID data"
 */
export function defaultCodec(length: number, rule: RuleName = "mean"): CodecHeader {
  const scaled = { clip: 32, scale: 2 ** 24, modulus: 0, weight: "uniform", noise: 0 };
  return codecHeaderSchema.parse(
    length < smallModel || rules[rule].memory === "updates"
      ? { ...scaled, codec: "plain", support: "dense", bits: 32 }
      : { ...scaled, codec: "sign", support: "listed", keep: Math.ceil(share * length), bits: 1 },
  );
}

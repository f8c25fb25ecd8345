import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { reasonOf, TidegateError } from "../../base/errors.ts";
import { nearestName } from "../../base/nearest-name.ts";
import { parseDuration } from "../../base/units.ts";
import { cardSchema } from "../../inference/card.ts";
import { encodeModel } from "../../onnx/model-file.ts";
import { summarize } from "../../onnx/summary.ts";
import type { NewCard, TemplateOptions } from "../../train/templates/template.ts";
import { templateOptions, templates } from "../../train/templates/template-table.ts";
import { OptionFault } from "../verb.ts";

export type NewModelOptions = Partial<
  Pick<TemplateOptions, "fields" | "window" | "hidden" | "labels" | "target" | "horizon" | "seed">
> & { readonly template: string; readonly period?: string; readonly dir?: string };

/**
 * Writes a bundle made from a template.
 * @throws TidegateError USAGE, FILE_PRESENT, FILE_UNWRITABLE
 */
export function makeBundle(name: string, { template, period, dir = ".", ...given }: NewModelOptions) {
  const row = templates[template];
  if (!row) {
    const names = Object.keys(templates);
    const nearest = nearestName(template, names);
    throw new OptionFault("--template", template, `one of ${names.join(", ")}${nearest ? ` (is it ${nearest}?)` : ""}`);
  }
  const periodMs = period === undefined ? undefined : parseDuration(period);
  if (period !== undefined && !periodMs) throw new OptionFault("--period", period, 'a duration such as "5s"');
  const options = templateOptions(template, { name, ...given, ...(periodMs ? { periodMs } : {}) });
  const { model, card } = row.make(options);
  const folder = join(resolve(dir), name);
  checkCard(card);
  write(folder, encodeModel(model), stringify(card, { lineWidth: 118 }));
  return { name, dir: folder, template, summary: row.summary, parameters: summarize(model).parameters };
}

/** A name or a field that no card may have is a mistake of the command line. */
function checkCard(card: NewCard): void {
  const parsed = cardSchema.safeParse(card);
  if (parsed.success) return;
  const detail = parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  throw new TidegateError("USAGE", { detail });
}

function write(folder: string, model: Uint8Array, card: string): void {
  if (existsSync(folder)) throw new TidegateError("MODEL_PRESENT", { dir: folder });
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "model.onnx"), model);
    writeFileSync(join(folder, "card.yaml"), card);
  } catch (cause) {
    throw new TidegateError("FILE_UNWRITABLE", { file: folder, reason: reasonOf(cause) }, { cause });
  }
}

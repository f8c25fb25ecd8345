import { TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import type { Card } from "./card.ts";

/** What a stream hands to a model. */
export type StreamShape = {
  /** Size of the stream's windows in readings; absent when the stream leaves it to the card. */
  readonly size?: number | undefined;
  /** Grid that the stream is resampled to, ms; absent when it is not resampled. */
  readonly everyMs?: number | undefined;
};

/**
 * Binds a stream to a model by the names of fields.
 * @param fields  what the stream has after its transformations
 * @returns the stream's fields in the order of the model's columns
 * @throws TidegateError MODEL_UNBOUND with every contradiction at once
 */
export function bindStream(
  card: Card,
  stream: string,
  fields: readonly string[],
  { size, everyMs }: StreamShape = {},
): readonly string[] {
  const faults: string[] = [];
  if (!card.window) faults.push("the model does not take windows of readings");
  else if (size !== undefined && size !== card.window.size)
    faults.push(`the stream's window has ${size} readings, the model's ${card.window.size}`);
  if (everyMs !== undefined && card.period !== undefined && everyMs !== card.period)
    faults.push(`the stream has a reading every ${everyMs} ms, the model wants one every ${card.period} ms`);
  for (const { name } of card.fields) {
    if (fields.includes(name)) continue;
    const nearest = nearestName(name, fields);
    faults.push(
      `the stream has no field ${name}${nearest ? ` (is it ${nearest}?)` : ` (it has ${fields.join(", ")})`}`,
    );
  }
  if (faults.length > 0)
    throw new TidegateError("MODEL_UNBOUND", { stream, model: card.name, faults, reason: faults.join("; ") });
  return card.fields.map(({ name }) => name);
}

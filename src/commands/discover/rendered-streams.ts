import { Document, isMap, isScalar, visit } from "yaml";
import type { Proposal } from "./proposal.ts";

/** A model that can be bound to a proposed stream, and what it is for. */
export type Fitting = { readonly model: string; readonly task: string };

/**
 * Proposals as the `streams` section of a configuration, with what was heard as comments.
 * @param fitting  models by the name of the stream that has their fields
 */
export function renderStreams(
  proposals: readonly Proposal[],
  fitting: ReadonlyMap<string, readonly Fitting[]>,
): string {
  const document = new Document({ streams: Object.fromEntries(proposals.map(({ name, stream }) => [name, stream])) });
  visit(document, {
    Pair(_, pair) {
      // Fields and their maps read best on one line.
      if (isScalar(pair.key) && ["map", "exclude"].includes(String(pair.key.value)) && pair.value !== null)
        (pair.value as { flow?: boolean }).flow = true;
    },
  });
  const streams = document.get("streams");
  for (const { name, topics, messages } of proposals) {
    const stream = isMap(streams) ? streams.get(name, true) : undefined;
    if (!isMap(stream)) continue;
    const lines = [` ${count(topics, "topic")}, ${count(messages, "message")} heard`];
    for (const { model, task } of fitting.get(name) ?? [])
      lines.push(` model: ${model}   # ${task}; takes these fields`);
    stream.commentBefore = lines.join("\n");
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: true });
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

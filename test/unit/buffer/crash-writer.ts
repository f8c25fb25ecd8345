import { writeSync } from "node:fs";
import { Store } from "../../../src/buffer/store.ts";
import { commitOf, frameAt, root, setup, stream } from "./store-values.ts";

// Commits, merges and checkpoints until it is killed; says on standard output how far it is durable.

const [, , dir = "", seed = "1"] = process.argv;
const store = new Store(
  {
    dir,
    storageRoot: root,
    streams: [setup()],
    limits: { maxBytes: 2 ** 30, minFree: { bytes: 0 } },
    blockReadings: 64,
    synchronous: "FULL",
  },
  () => {},
);
let { next } = store.stateOf(stream);
for (let round = Number(seed); ; round++) {
  const count = 1 + (round % 23);
  const body = Buffer.from(JSON.stringify({ next }));
  store.commit(
    commitOf([frameAt(next, count)], {
      cursors: { [stream]: { inferred: next } },
      outbox: [{ lane: "rest", stream, kind: "result", body }],
    }),
  );
  next += count;
  writeSync(1, `${next}\n`);
  store.mergeStep();
  if (round % 50 === 0) store.checkpoint();
}

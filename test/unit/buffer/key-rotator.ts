import { writeSync } from "node:fs";
import { Store } from "../../../src/buffer/store.ts";
import { commitOf, frameAt, root, setup, stream } from "./store-values.ts";

// Commits and replaces the key-encryption key by turns until it is killed; says on standard output how far it is durable.

const [, , dir = ""] = process.argv;
const limits = { maxBytes: 2 ** 30, minFree: { bytes: 0 } };
const options = { dir, storageRoot: root, streams: [setup()], limits, blockReadings: 64, synchronous: "FULL" } as const;
const store = new Store(options, () => {});
for (let { next } = store.stateOf(stream); ; next += 5) {
  store.commit(commitOf([frameAt(next, 5)]));
  store.rotateKeys();
  writeSync(1, `${next + 5}\n`);
}

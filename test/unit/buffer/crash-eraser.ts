import { writeSync } from "node:fs";
import type { ErasureRequest } from "../../../src/base/erasure-request.ts";
import { Store } from "../../../src/buffer/store.ts";
import { root, setup } from "./store-values.ts";

// Erases what it is told to until it is killed; says on standard output when it has begun.

const [, , dir = "", request = "{}"] = process.argv;
const limits = { maxBytes: 2 ** 30, minFree: { bytes: 0 } };
const streams = [setup(), setup({}, "secret_cellar")];
const store = new Store({ dir, storageRoot: root, streams, limits, blockReadings: 64, synchronous: "FULL" }, () => {});
store.eraseBegin(JSON.parse(request) as ErasureRequest);
writeSync(1, "begun\n");
while (!store.eraseStep());
store.eraseEnd(Buffer.from("receipt"));
process.exit();

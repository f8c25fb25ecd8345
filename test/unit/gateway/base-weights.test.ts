import { dirname } from "node:path";
import { expect, it } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { blobHash } from "../../../src/control/blob-hash.ts";
import { chunkBytes } from "../../../src/control/model-manifest.ts";
import { offerOf } from "../../../src/coordinator/base-blobs.ts";
import { bytesOfVector, vectorOfBytes, weightsOfBundle } from "../../../src/coordinator/bundle-weights.ts";
import type { VersionChange } from "../../../src/coordinator/coordinator-store.ts";
import { downlinkHeader } from "../../../src/coordinator/fleet-settings.ts";
import { beginLine, tellVersion } from "../../../src/coordinator/next-version.ts";
import { encodeChange } from "../../../src/federated/version-change.ts";
import { BaseWeights } from "../../../src/gateway/base-weights.ts";
import { openBundle } from "../../../src/inference/bundle.ts";
import { bundleOf } from "../../support/coordinator-process.ts";
import { emptyFolder } from "../../support/started-host.ts";

const model = "mote-anomaly";
const { signal } = new AbortController();

/** A gateway with the bundle that its fleet began with, and what a broker retains of three versions since. */
async function gatewayOf(change: (blob: Uint8Array) => Uint8Array = (blob) => blob) {
  const bundle = await openBundle(bundleOf(model));
  const weights = bytesOfVector(await weightsOfBundle(bundle));
  let version = beginLine({ model, version: 1, parent: null, weights, tensors: {}, at: 0 });
  const length = weights.length / 4;
  const header = downlinkHeader(
    { downlink: { codec: "quantized", support: "listed", share: 0.1, bits: 8, clip: 8 } },
    length,
  );
  const changes: VersionChange[] = [];
  for (let round = 1; round <= 3; round++) {
    const random = seededRandom(round);
    const exact = bytesOfVector(vectorOfBytes(version.weights).map((value) => value + random() / 10));
    const told = tellVersion(version, exact, round, header, changes);
    version = { ...version, ...told.version, version: version.version + 1 };
    if (told.change) changes.unshift({ ...told.change, blob: change(told.change.blob) });
  }
  const { sources, blobs } = offerOf(version, null, changes);
  const retained = new Map(blobs.map((blob) => [blobHash(blob), blob]));
  const asked: string[] = [];
  const kinds: unknown[] = [];
  const bases = new BaseWeights({
    folders: [dirname(bundle.dir)],
    dir: emptyFolder(),
    chunks: () => ({
      chunk: async (sha256, n) => {
        asked.push(sha256);
        return retained.get(sha256)?.subarray(n * chunkBytes, (n + 1) * chunkBytes) ?? null;
      },
    }),
    log: { ...silentLog, info: (facts: { kind?: unknown }) => kinds.push(facts.kind) } as unknown as typeof silentLog,
  });
  return { bases, base: { version: version.version, hash: version.hash, length, sources, tensors: {} }, asked, kinds };
}

it("a gateway comes from its bundle to a version three steps further, which it fetches once", async () => {
  const { bases, base, asked } = await gatewayOf();
  expect(await bases.hasBase(model, base.hash)).toBe(false);
  expect(await bases.obtain(model, base, signal)).toBe(true);
  expect(asked).toHaveLength(3);
  expect((await bases.find(model, base.hash))?.weights).toHaveLength(base.length);
  expect(await bases.obtain(model, base, signal)).toBe(true);
  expect(asked).toHaveLength(3);
});

it.each([
  ["is no step at all", () => new Uint8Array(40).fill(1)],
  ["is another step", (_: Uint8Array) => anotherStep()],
])("a step that %s leads a gateway nowhere: it fetches the whole", async (_, damage) => {
  const { bases, base, kinds } = await gatewayOf(damage);
  expect(await bases.obtain(model, base, signal)).toBe(true);
  expect(await bases.hasBase(model, base.hash)).toBe(true);
  expect(kinds).toEqual(["change", "planes"]);
});

function anotherStep(): Uint8Array {
  const codec = downlinkHeader(
    { downlink: { codec: "quantized", support: "listed", share: 0.1, bits: 8, clip: 8 } },
    100,
  );
  if (!codec) throw new Error("it has a codec");
  return encodeChange({ from: "a".repeat(64), codec, before: null, body: new Uint8Array(9) });
}

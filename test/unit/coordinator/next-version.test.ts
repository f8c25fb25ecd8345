import { expect, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { blobHash } from "../../../src/control/blob-hash.ts";
import { offerOf } from "../../../src/coordinator/base-blobs.ts";
import { bytesOfVector, vectorOfBytes, weightsHash } from "../../../src/coordinator/bundle-weights.ts";
import { keptChanges, type ModelVersion, type VersionChange } from "../../../src/coordinator/coordinator-store.ts";
import { downlinkHeader } from "../../../src/coordinator/fleet-settings.ts";
import { beginLine, tellVersion } from "../../../src/coordinator/next-version.ts";
import type { RoundDocument } from "../../../src/federated/round-document.ts";
import { followWay, waysTo } from "../../../src/gateway/base-ways.ts";

const length = 20_000;
const header = downlinkHeader({}, length);

function change(seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length }, () => (random() - 0.5) ** 3 * 0.1);
}

const first = () =>
  beginLine({ model: "digits", version: 1, parent: null, weights: bytesOfVector(change(0)), tensors: {}, at: 0 });

/** A coordinator's line of versions, each a little further. */
function learn(versions: number, how = header) {
  const line = [first()];
  let changes: VersionChange[] = [];
  for (let round = 1; round <= versions; round++) {
    const base = line.at(-1) as ModelVersion;
    const step = change(round);
    const exact = bytesOfVector(
      vectorOfBytes(base.exact ?? base.weights).map((value, i) => value + (step[i] as number)),
    );
    const told = tellVersion(base, exact, round, how, changes);
    line.push({ ...base, ...told.version, version: base.version + 1, parent: base.hash });
    if (told.change) changes = [told.change, ...changes].slice(0, keptChanges);
  }
  return { line, changes };
}

/** A gateway that has one version, and fetches the newest; what it fetched, bytes. */
async function fetched(from: ModelVersion | null, { line, changes }: ReturnType<typeof learn>, lost?: string) {
  const newest = line.at(-1) as ModelVersion;
  const { sources, blobs } = offerOf(newest, line.at(-2) ?? null, changes);
  const there = new Map(blobs.map((blob) => [blobHash(blob), blob]));
  const base: RoundDocument["base"] = { version: newest.version, hash: newest.hash, length, sources, tensors: {} };
  let bytes = 0;
  const [way] = waysTo(base, from ? [from.hash] : []);
  if (!way) throw new Error("there is always a way");
  const weights = await followWay(way, base, {
    weights: async (hash) => (hash === from?.hash ? vectorOfBytes(from.weights) : null),
    blob: async (sha256) => {
      const blob = there.get(sha256);
      if (!blob || sha256 === lost) throw new Error("it is not on the broker");
      bytes += blob.length;
      return blob;
    },
  });
  expect(weightsHash(bytesOfVector(weights))).toBe(newest.hash);
  return { bytes, kind: way.kind };
}

test("gateways with any version come to the newest, by steps that are 1/100 of it each", async () => {
  const learned = learn(40);
  const at = (version: number) => fetched(learned.line[version] ?? null, learned);
  const one = await at(39);
  expect(one.kind).toBe("change");
  expect(4 * length).toBeGreaterThan(100 * one.bytes);
  const ten = await at(30);
  expect(ten.kind).toBe("change");
  expect(ten.bytes).toBeLessThan(11 * one.bytes);
  // Too far back, or with nothing at all.
  expect(await at(3)).toMatchObject({ kind: "planes" });
  expect(await fetched(null, learned)).toMatchObject({ kind: "planes" });
});

test("what a step does not tell is told later: the versions come to where the weights stand", () => {
  const { line, changes } = learn(3);
  let base = line.at(-1) as ModelVersion;
  const exact = base.exact as Uint8Array;
  expect(weightsHash(exact)).not.toBe(base.hash);
  const away = () => {
    const target = vectorOfBytes(exact);
    return Math.hypot(...vectorOfBytes(base.weights).map((value, i) => value - (target[i] as number)));
  };
  const before = away();
  for (let round = 4; round <= 150; round++)
    base = { ...base, ...tellVersion(base, exact, round, header, changes).version, version: base.version + 1 };
  expect(away()).toBeLessThan(before / 10);
});

test("the same round gives the same bytes; a round of its own another step", () => {
  const how = downlinkHeader(
    { downlink: { codec: "quantized", support: "listed", share: 0.1, bits: 4, clip: 8 } },
    length,
  );
  const exact = bytesOfVector(change(7));
  const [a, b, c] = [5, 5, 6].map((round) => tellVersion(first(), exact, round, how, []));
  expect(a).toEqual(b);
  expect(c?.version.hash).not.toBe(a?.version.hash);
});

test("a small model is told bit by bit", async () => {
  expect(downlinkHeader({}, 500)).toBeNull();
  const learned = learn(2, null);
  const newest = learned.line.at(-1);
  expect(newest?.exact).toBeNull();
  expect(await fetched(learned.line[1] ?? null, learned)).toMatchObject({ kind: "planes" });
});

test("a step that is not on the broker ends the way: gateways then go another one", async () => {
  const learned = learn(4);
  const lost = learned.changes[1];
  if (!lost) throw new Error("there are four steps");
  await expect(fetched(learned.line[1] ?? null, learned, blobHash(lost.blob))).rejects.toThrow("not on the broker");
});

import { describe, expect, it } from "vitest";
import { isInShare, parseManifest, unfitReason } from "../../../src/control/model-manifest.ts";

const hash = (digit: string) => digit.repeat(64);
const manifest = {
  kind: "manifest",
  audience: "demo",
  version: 3,
  subject: "mote-anomaly",
  release: {
    version: 2,
    hash: hash("a"),
    parent: hash("b"),
    files: [{ path: "model.onnx", sha256: hash("c"), size: 1_000 }],
  },
};

describe("a manifest", () => {
  it("has defaults for what it does not say: the whole fleet takes it, on any hardware", () => {
    const parsed = parseManifest(manifest);
    expect(parsed.rollout).toEqual({ share: 1, seed: "", isHalted: false, isForced: false });
    expect(unfitReason(parsed, { runtime: "0.1.0", arch: "arm64", memoryMB: 100 })).toBeNull();
  });

  it.each([
    ["a path that leaves the bundle", { path: "../model.onnx", sha256: hash("c"), size: 1 }],
    ["a hidden file", { path: ".profile", sha256: hash("c"), size: 1 }],
    ["a hash that is none", { path: "model.onnx", sha256: "abc", size: 1 }],
    ["a size that no gateway takes", { path: "model.onnx", sha256: hash("c"), size: 2 ** 40 }],
    ["a URL of another kind", { path: "model.onnx", sha256: hash("c"), size: 1, url: "file:///etc/passwd" }],
  ])("is refused with %s", (_, file) => {
    const bad = { ...manifest, release: { ...manifest.release, files: [file] } };
    expect(() => parseManifest(bad)).toThrow(/manifest is not valid/);
  });

  it("is refused when it names a file twice, or more bytes than a release may have", () => {
    const [file] = manifest.release.files;
    const twice = { ...manifest, release: { ...manifest.release, files: [file, file] } };
    expect(() => parseManifest(twice)).toThrow(/twice/);
    const large = ["a", "b", "c"].map((path) => ({ path, sha256: hash("c"), size: 200 * 2 ** 20 }));
    expect(() => parseManifest({ ...manifest, release: { ...manifest.release, files: large } })).toThrow(/bytes/);
  });

  it("says why a gateway is not fit for it", () => {
    const { requires, release } = parseManifest({
      ...manifest,
      requires: { runtime: "1.10.0", arch: ["arm64"], memoryMB: 512 },
    });
    const here = { runtime: "1.10.0", arch: "arm64", memoryMB: 512 };
    expect(unfitReason({ requires, release }, here)).toBeNull();
    expect(unfitReason({ requires, release }, { ...here, runtime: "1.9.12" })).toMatch(/needs Tidegate 1.10.0/);
    expect(unfitReason({ requires, release }, { ...here, arch: "x64" })).toMatch(/for arm64/);
    expect(unfitReason({ requires, release }, { ...here, memoryMB: 256 })).toMatch(/512 MB/);
    // A few bytes on the line can stand for a file that takes all the memory, at every start again.
    const huge = { ...release, files: release.files.map((file) => ({ ...file, size: 100 * 2 ** 20 })) };
    expect(unfitReason({ requires, release: huge }, here)).toMatch(/100 MB: too much for 512 MB/);
  });

  it("takes about its share of a fleet, and a growing share keeps those that are in", () => {
    const fleet = Array.from({ length: 2_000 }, (_, at) => `gw-${at}`);
    const taken = (share: number, seed = "r2") => fleet.filter((gateway) => isInShare(gateway, { share, seed }));
    expect(taken(0)).toEqual([]);
    expect(taken(1)).toHaveLength(2_000);
    const canary = taken(0.1);
    expect(canary.length).toBeGreaterThan(140);
    expect(canary.length).toBeLessThan(260);
    const half = new Set(taken(0.5));
    expect(canary.every((gateway) => half.has(gateway))).toBe(true);
    expect(taken(0.1, "r3")).not.toEqual(canary);
  });
});

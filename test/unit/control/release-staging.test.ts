import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { parseManifest } from "../../../src/control/model-manifest.ts";
import { stageRelease } from "../../../src/control/release-staging.ts";
import { describeRelease } from "../../../src/coordinator/release.ts";
import { openBundle } from "../../../src/inference/bundle.ts";

it("what releases that were given up have left goes, so that one after another they do not fill the disk", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tidegate-staging-"));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  const active = await openBundle("models/mote-anomaly");
  const { release } = await describeRelease(active, []);
  const manifest = parseManifest({ kind: "manifest", audience: "demo", version: 1, subject: active.name, release });
  const [givenUp, others] = [`${active.name}-${"0".repeat(16)}`, `other-${"0".repeat(16)}`];
  const parts = ["f".repeat(64), `${release.files[0]?.sha256}.part`];
  for (const folder of [givenUp, others, `blobs/${active.name}`, "blobs/other"])
    mkdirSync(join(dir, folder), { recursive: true });
  for (const name of parts) writeFileSync(join(dir, "blobs", active.name, name), "part");
  writeFileSync(join(dir, "blobs/other", "e".repeat(64)), "part");
  const source = { chunk: async () => null };
  const fetch = { source, log: silentLog, random: Math.random, signal: new AbortController().signal };

  const staged = await stageRelease(manifest, { dir, active, fetch });

  expect(staged.hash).toBe(active.hash);
  expect([existsSync(join(dir, givenUp)), existsSync(join(dir, others))]).toEqual([false, true]);
  // What has come of this release stays, and so does what belongs to another model.
  expect(readdirSync(join(dir, "blobs", active.name))).toEqual([parts[1]]);
  expect(readdirSync(join(dir, "blobs/other"))).toHaveLength(1);
});

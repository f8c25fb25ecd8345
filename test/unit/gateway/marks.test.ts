import { expect, it } from "vitest";
import { Marks } from "../../../src/gateway/marks.ts";
import { TrainingRecord } from "../../../src/gateway/training-report.ts";

function memory() {
  const values = new Map<string, Uint8Array>();
  return {
    values,
    stateGet: async (name: string) => values.get(name) ?? null,
    statePut: async (name: string, value: Uint8Array) => void values.set(name, value),
  };
}
const mark = (from: number, source = "m1") => ({ stream: "env", source, from, to: from + 10, label: "event" });

it("marks are kept sealed, found by what they touch, and removed", async () => {
  const state = memory();
  const marks = new Marks(new Uint8Array(32).fill(1), state);
  await Promise.all([marks.add(mark(0)), marks.add(mark(100)), marks.add(mark(100, "m2"))]);
  expect(await marks.list({ stream: "env", source: "m1", from: 105 })).toEqual([mark(100)]);
  expect(Buffer.from(state.values.get("marks") ?? []).includes("m1")).toBe(false);
  await expect(new Marks(new Uint8Array(32), state).list()).rejects.toThrow(/another key/);
  expect(await marks.remove({ stream: "env", to: 50 })).toBe(1);
  expect(await marks.list()).toHaveLength(2);
});

it("health tells of a training that failed and of drift, until both are over", () => {
  const said: (string | null)[] = [];
  const record = new TrainingRecord({ ready: () => said.push(null), degrade: (_, reason) => said.push(reason) });
  record.end("m", "failed", ["memory ran out"], 1);
  const drift = (psi: number) => [{ name: "temperature", psi, ks: 0.5, samples: 900 }];
  record.drifted("m", drift(0.4));
  record.end("m", "kept", [], 2);
  record.drifted("m", drift(0.1));
  record.end("m", "installed", [], 3);
  expect(said).toEqual(["m: failed: memory ran out", "m: temperature has drifted (index 0.40, limit 0.25)", null]);
});

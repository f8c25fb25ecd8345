import { describe, expect, test } from "vitest";
import { type Component, Lifecycle, Together } from "../../../src/base/lifecycle.ts";

/** A component that tells what happens to it, and starts when it is let. */
function part(name: string, told: string[], start: Promise<void>): Component {
  return {
    name,
    start: async () => {
      told.push(`${name} starts`);
      await start;
      told.push(`${name} runs`);
    },
    stop: async () => {
      told.push(`${name} stops`);
    },
  };
}

describe("components that start together", () => {
  test("do not wait for each other", async () => {
    const told: string[] = [];
    const slow = Promise.withResolvers<void>();
    const both = new Together([part("slow", told, slow.promise), part("quick", told, Promise.resolve())]);
    const started = both.start(new AbortController().signal);
    await new Promise(setImmediate);
    expect(told).toEqual(["slow starts", "quick starts", "quick runs"]);
    slow.resolve();
    await started;
    expect(both.name).toBe("slow and quick");
  });

  test("are all stopped when one of them fails, after the others have got where they were going", async () => {
    const told: string[] = [];
    const slow = Promise.withResolvers<void>();
    const bad = part("bad", told, Promise.reject(new Error("no")));
    const lifecycle = new Lifecycle([new Together([part("slow", told, slow.promise), bad])]);
    const started = lifecycle.start(new AbortController().signal);
    setTimeout(() => slow.resolve(), 20);
    await expect(started).rejects.toThrow("no");
    expect(told).toEqual(["slow starts", "bad starts", "slow runs", "slow stops", "bad stops"]);
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { askForPatience, extensionMs } from "../../../src/ops/patience.ts";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("a start that takes long", () => {
  it("is given more time while it gets on, and none while it stands still", () => {
    const asked: number[] = [];
    let steps = 0;
    const end = askForPatience(
      () => steps,
      (ms) => asked.push(ms),
    );
    vi.advanceTimersByTime(60_000);
    expect(asked).toEqual([]);
    for (let look = 0; look < 3; look++) {
      steps++;
      vi.advanceTimersByTime(5_000);
    }
    expect(asked).toEqual([extensionMs, extensionMs, extensionMs]);
    vi.advanceTimersByTime(60_000);
    expect(asked).toHaveLength(3);
    end();
    steps++;
    vi.advanceTimersByTime(60_000);
    expect(asked).toHaveLength(3);
  });
});

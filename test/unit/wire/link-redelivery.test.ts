import { describe, expect, it } from "vitest";
import { contentHash, Redelivery } from "../../../src/wire/link-redelivery.ts";

const bytes = (text: string) => Buffer.from(text);

describe("redelivery", () => {
  it("is certain of a message whose acknowledgement was never written", () => {
    const memory = new Redelivery();
    memory.remember(5, 111);
    expect(memory.judge(5, true, 111)).toBe("certain");
    // It was handed on once more: a third one would be news to this memory until its connection closes as well.
    expect(memory.judge(5, true, 111)).toBe("maybe");
  });

  it("is not certain without the broker's word, with another content, or after a lost session", () => {
    const memory = new Redelivery();
    memory.remember(5, 111);
    expect(memory.judge(5, false, 111)).toBe("no");
    memory.remember(6, 111);
    expect(memory.judge(6, true, 222)).toBe("maybe");
    memory.remember(7, 111);
    memory.forget();
    expect(memory.judge(7, true, 111)).toBe("maybe");
  });

  it("does not take an equal message for one that was acknowledged", () => {
    // PUBACK 5 went out; "21.5" came again under id 5 and got lost on the way: it must be stored.
    const memory = new Redelivery();
    memory.remember(4, 1);
    expect(memory.judge(5, true, 111)).toBe("maybe");
  });
});

describe("contentHash", () => {
  it("tells topics, contents and lengths apart", () => {
    const hashes = [
      contentHash("a", bytes("1")),
      contentHash("b", bytes("1")),
      contentHash("a", bytes("2")),
      contentHash("a", bytes("")),
      contentHash("a", bytes("\0")),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(contentHash("a", bytes("1"))).toBe(hashes[0]);
  });

  it("sees both ends of a large payload and does not read all of it", () => {
    const large = Buffer.alloc(10 * 2 ** 20);
    const other = Buffer.from(large);
    other[other.length - 1] = 1;
    expect(contentHash("a", large)).not.toBe(contentHash("a", other));
    const start = performance.now();
    contentHash("a", large);
    expect(performance.now() - start).toBeLessThan(20);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { seededRandom } from "../../../src/base/random.ts";
import { decodeBody, encodeBody } from "../../../src/federated/update-body.ts";
import { change, headers, nameOf, spaceOf } from "../../unit/federated/codec-fixture.ts";

const length = 3_000;

/** Decodes; what is refused is refused with a reason, and what is taken lies within the round's limits. */
function judge(body: Uint8Array, space: ReturnType<typeof spaceOf>): "taken" | "refused" {
  try {
    const { indices, values } = decodeBody(body, space);
    const limit = space.header.clip * space.header.scale * (1 + 1 / 64);
    expect(values.every((value) => Math.abs(value) <= limit)).toBe(true);
    expect(values.length).toBeLessThanOrEqual(length);
    if (indices) {
      expect(indices.length).toBe(values.length);
      expect(indices.every((index, i) => index < length && (i === 0 || index > (indices[i - 1] ?? 0)))).toBe(true);
    }
    return "taken";
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(TidegateError);
    expect((thrown as TidegateError).code).toBe("UPDATE_INVALID");
    return "refused";
  }
}

describe.each(headers.map((header) => [nameOf(header), header] as const))("a body of %s", (_, header) => {
  const space = spaceOf(header, length);
  const body = encodeBody(change(length, 5), space, seededRandom(6));

  it("that is cut off anywhere, or longer, is refused", () => {
    for (let end = 0; end < body.length; end += Math.ceil(body.length / 300))
      expect(judge(body.subarray(0, end), space)).toBe("refused");
    expect(judge(Uint8Array.of(...body, 0), space)).toBe("refused");
    expect(judge(body, space)).toBe("taken");
  });

  it("with flipped bits is refused, or stays within the round's limits", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(body.length * 8 - 1), { minLength: 1, maxLength: 8 }), (places) => {
        const flipped = body.slice();
        for (const place of places) flipped[place >> 3] = (flipped[place >> 3] ?? 0) ^ (1 << (place & 7));
        judge(flipped, space);
      }),
      { numRuns: 200 },
    );
  });

  it("made of anything is refused, or stays within the round's limits", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        judge(bytes, space);
      }),
      { numRuns: 200 },
    );
  });

  it("that promises four billion coordinates costs nothing", () => {
    if (header.support !== "listed") return;
    const huge = body.slice();
    huge.fill(0xff, 0, 4);
    const before = process.memoryUsage().arrayBuffers;
    expect(judge(huge, space)).toBe("refused");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e6);
  });
});

import { expect, test } from "vitest";
import { seededRandom } from "../../../src/base/random.ts";
import { checkAggregation } from "../../../src/federated/aggregation.ts";
import { defaultCodec } from "../../../src/federated/default-codec.ts";
import { encodeBody } from "../../../src/federated/update-body.ts";
import { updateSpace } from "../../../src/federated/update-space.ts";
import { change } from "./codec-fixture.ts";

test.each([
  [2, 1],
  [4_095, 1],
  [4_096, 1 / 150],
  [199_210, 1 / 190],
])("an update of %i parameters has at most %d of float32", (length, part) => {
  const space = updateSpace({ header: defaultCodec(length), length });
  const body = encodeBody(change(length, 1), space, seededRandom(1));
  expect(body.length / (4 * length)).toBeLessThanOrEqual(part);
});

test("a rule that compares updates gets all coordinates", () => {
  const header = defaultCodec(199_210, "median");
  const options = { norm: 0, trim: 0.1, attackers: 1 };
  expect(() =>
    checkAggregation({ strategy: "fedavgm", rule: "median", options, header, quorum: 3, mu: 0 }),
  ).not.toThrow();
});

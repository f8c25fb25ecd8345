import { expect, it } from "vitest";
import { TidegateError } from "../../../src/base/errors.ts";
import { silentLog } from "../../../src/base/log.ts";
import { Publisher } from "../../../src/gateway/publisher.ts";

type Sent = { n: number; confirm: (reason?: number) => void; refuse: (code: "STOPPED" | "OUTGOING_FULL") => void };

const settled = () => new Promise((resolve) => setImmediate(resolve));

function open(qos: 0 | 1 = 1) {
  const sent: Sent[] = [];
  const publisher = new Publisher({
    link: {
      send: () => null,
      publish: (_topic, payload) =>
        new Promise((resolve, reject) => {
          const { ts } = JSON.parse(payload.toString()) as { ts: number };
          const refuse: Sent["refuse"] = (code) => reject(new TidegateError(code, { limit: 1, what: "the link" }));
          sent.push({ n: ts, confirm: (reason = 0) => resolve({ reason }), refuse });
        }),
    },
    ...{ qos, retain: false, topicOf: () => "results", log: silentLog },
  });
  const give = (n: number) => publisher.publish({}, JSON.stringify({ ts: n }), n);
  return { publisher, sent, give };
}

it("knows the oldest result that is not confirmed, in whatever order answers come", async () => {
  const { publisher, sent, give } = open();
  expect(publisher.oldest).toBe(Number.POSITIVE_INFINITY);
  for (const n of [5, 6, 7]) give(n);
  sent[1]?.confirm();
  await settled();
  expect(publisher.oldest).toBe(5);
  sent[0]?.confirm();
  await settled();
  expect(publisher.oldest).toBe(7);
  sent[2]?.confirm();
  await settled();
  expect(publisher.oldest).toBe(Number.POSITIVE_INFINITY);
});

it("holds back what is more than the link should queue, and gives it in order", async () => {
  const { publisher, sent, give } = open();
  const count = 20_000;
  for (let n = 0; n < count; n++) give(n);
  expect(sent.length).toBeLessThan(10_000);
  for (let at = 0; at < count; at++) {
    if (at === sent.length) await settled();
    sent[at]?.confirm();
  }
  await settled();
  expect(sent.map(({ n }) => n)).toEqual(Array.from({ length: count }, (_, n) => n));
  expect([publisher.oldest, publisher.counters.published]).toEqual([Number.POSITIVE_INFINITY, count]);
});

it("still owes what a link that stops has not brought, and brings later what it had no room for", async () => {
  const { publisher, sent, give } = open();
  give(1);
  give(2);
  sent[0]?.refuse("STOPPED");
  sent[1]?.refuse("OUTGOING_FULL");
  await expect.poll(() => sent.length).toBe(3);
  sent[2]?.confirm();
  await settled();
  expect([publisher.oldest, publisher.counters.failed]).toEqual([1, 0]);
});

it("owes nothing for what the broker refuses, nor with QoS 0", async () => {
  const { publisher, sent, give } = open();
  give(1);
  sent[0]?.confirm(135);
  await settled();
  expect([publisher.oldest, publisher.counters]).toEqual([Number.POSITIVE_INFINITY, { published: 0, failed: 1 }]);
  const fast = open(0);
  fast.give(1);
  expect(fast.publisher.oldest).toBe(Number.POSITIVE_INFINITY);
});

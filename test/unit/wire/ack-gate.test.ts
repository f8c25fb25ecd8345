import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AckGate } from "../../../src/wire/ack-gate.ts";

function gate() {
  const sent: number[] = [];
  const writes: number[][] = [];
  const opened = new AckGate((ids) => {
    writes.push([...ids]);
    sent.push(...ids);
  });
  return { gate: opened, sent, writes };
}

describe("the ack gate", () => {
  it("sends nothing before the release, and all of a release in one piece, in order of arrival", () => {
    const { gate: held, writes } = gate();
    const tickets = [7, 3, 9].map((id) => held.hold(id, 0));
    expect(tickets).toEqual([1, 2, 3]);
    expect(writes).toEqual([]);
    expect(held.release(2)).toBe(2);
    expect(writes).toEqual([[7, 3]]);
    expect(held.held).toBe(1);
  });

  it("frees nothing twice, and nothing that came after the ticket", () => {
    const { gate: held, sent } = gate();
    held.hold(1, 0);
    held.release(1);
    held.hold(2, 0);
    expect(held.release(1)).toBe(0);
    expect(held.release(0)).toBe(0);
    expect(sent).toEqual([1]);
    held.release(99);
    expect(sent).toEqual([1, 2]);
  });

  it("never sends on one connection what was held for another", () => {
    const { gate: held, sent } = gate();
    const old = held.hold(1, 11);
    held.hold(2, 12);
    const told: number[][] = [];
    held.discard((id, hash) => told.push([id, hash]));
    expect(told).toEqual([
      [1, 11],
      [2, 12],
    ]);
    // The broker lost its session and gives id 1 to another message; the old commit ends now.
    const next = held.hold(1, 99);
    expect(next).toBe(3);
    held.release(old);
    held.release(old + 1);
    expect(sent).toEqual([]);
    expect(held.held).toBe(1);
  });

  it("lets a message that nobody stores wait for those before it, and no longer", () => {
    const { gate: held, sent } = gate();
    held.pass(1, 0);
    expect(sent).toEqual([1]);
    const ticket = held.hold(2, 0);
    held.pass(3, 0);
    held.hold(4, 0);
    expect(sent).toEqual([1]);
    held.release(ticket);
    expect(sent).toEqual([1, 2, 3]);
    expect(held.held).toBe(1);
  });

  it("holds as many as there are packet ids", () => {
    const { gate: held, sent } = gate();
    for (let id = 1; id <= 65_535; id++) held.hold(id, id);
    expect(held.isFull).toBe(true);
    held.release(held.lastTicket);
    expect(sent.length).toBe(65_535);
    expect(sent.every((id, at) => id === at + 1)).toBe(true);
  });

  it("does what a simple queue does", () => {
    const action = fc.oneof(
      { weight: 5, arbitrary: fc.constant({ do: "hold" as const, by: 0 }) },
      { weight: 2, arbitrary: fc.constant({ do: "pass" as const, by: 0 }) },
      {
        weight: 2,
        arbitrary: fc.record({ do: fc.constant("release" as const), by: fc.integer({ min: -3, max: 150 }) }),
      },
      { weight: 1, arbitrary: fc.constant({ do: "discard" as const, by: 0 }) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 400 }), (actions) => {
        const { gate: real, sent } = gate();
        let model: { id: number; ticket: number; isFree: boolean }[] = [];
        const expected: number[] = [];
        let ticket = 0;
        const sweep = (upTo: number) => {
          while (model[0] && (model[0].ticket <= upTo || model[0].isFree)) expected.push(model.shift()?.id ?? 0);
        };
        for (const [at, { do: what, by }] of actions.entries()) {
          const id = (at % 65_535) + 1;
          if (what === "hold") {
            model.push({ id, ticket: ++ticket, isFree: false });
            expect(real.hold(id, 0)).toBe(ticket);
          } else if (what === "pass") {
            model.push({ id, ticket: ++ticket, isFree: true });
            real.pass(id, 0);
            sweep(0);
          } else if (what === "release") {
            real.release(by);
            sweep(by);
          } else {
            real.discard(() => {});
            model = [];
          }
          expect(real.held).toBe(model.length);
        }
        expect(sent).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });
});

import fc from "fast-check";
import { expect, it } from "vitest";
import {
  filesOf,
  noRounds,
  type PendingUpdate,
  type RoundState,
  residualFor,
  roundKey,
  updateAnswered,
  updateCounted,
  updateMade,
} from "../../../src/federated/client/round-state.ts";

// Invariant: whatever the receipts say and wherever the gateway is killed, what the coordinator counted and what the
// gateway still holds back are together what was learned in the updates that count: nothing twice, nothing lost.
// Numbers are integers; C(p) keeps the multiples of 10.

const coarse = (p: number): number => Math.trunc(p / 10) * 10;

/** A disk: files and a state, each written whole or not at all. A kill comes before the n-th write. */
class Disk {
  readonly files = new Map<string, number>();
  state: RoundState = noRounds;
  #left = Number.POSITIVE_INFINITY;
  #names = 0;

  killAfter(writes: number): void {
    this.#left = writes;
  }

  write(action: () => void): void {
    if (this.#left-- <= 0) throw new Error("killed");
    action();
  }

  name = (): string => `f${this.#names++}`;
}

const step = fc.record({
  change: fc.integer({ min: -500, max: 500 }),
  /** What the coordinator makes of the update. */
  verdict: fc.constantFrom("accepted", "stale", "rejected"),
  /** The receipt is lost so often, and the update sent again. */
  lost: fc.nat({ max: 2 }),
  isRollback: fc.boolean(),
  /** Durable writes until it is killed. */
  kill: fc.option(fc.nat({ max: 4 }), { nil: undefined }),
});

it("counts what was learned once, over receipts lost, updates refused, rollbacks and kills at every durable step", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) => {
      const disk = new Disk();
      const counted = new Map<string, { sent: number; verdict: string }>();
      let [root, version, learned, told] = [0, 1, 0, 0];

      /** One life of the gateway, up to its end or its kill. */
      const live = (round: { round: number; base: never }, change: number, verdict: string, lost: number): void => {
        const save = (state: RoundState) => {
          disk.write(() => {
            disk.state = state;
          });
          // What no state names may go at any time.
          for (const file of disk.files.keys()) if (!filesOf(disk.state).includes(file)) disk.files.delete(file);
        };
        if (!disk.state.pending && disk.state.done !== roundKey(round)) {
          const held = residualFor(disk.state, round);
          const p = change + (held ? (disk.files.get(held.file) ?? Number.NaN) : 0);
          const [update, left] = [disk.name(), disk.name()];
          disk.write(() => disk.files.set(left, p - coarse(p)));
          disk.write(() => disk.files.set(update, coarse(p)));
          const { root: lineage = "", version: of } = (round as { base: { root?: string; version: number } }).base;
          const pending: PendingUpdate = {
            round: round.round,
            key: roundKey(round),
            update: `${update}/${p}`,
            file: update,
            box: "",
            left: { file: left, lineage, version: of, length: 1 },
            cursors: {},
          };
          if (!held && disk.state.residual) learned -= disk.files.get(disk.state.residual.file) ?? 0;
          const before = disk.state.residual;
          try {
            save(updateMade(disk.state, round, pending));
          } catch (killed) {
            if (!held && before) learned += disk.files.get(before.file) ?? 0;
            throw killed;
          }
          learnedBy.set(pending.update, change);
        }
        const { pending } = disk.state;
        if (!pending) return;
        for (let sends = 0; sends <= lost; sends++) {
          const known = counted.get(pending.update);
          if (!known) {
            const sent = disk.files.get(pending.file) ?? Number.NaN;
            counted.set(pending.update, { sent, verdict });
            if (verdict === "accepted") {
              told += sent;
              learned += learnedBy.get(pending.update) ?? Number.NaN;
            }
          }
          if (sends < lost) continue;
          const final = counted.get(pending.update)?.verdict ?? "stale";
          const status = known && final === "accepted" ? "duplicate" : (final as "accepted");
          expect(updateAnswered(disk.state, { update: "another", status })).toBe(disk.state);
          expect(updateAnswered(disk.state, { update: pending.update, status: "partial" })).toBe(disk.state);
          save(updateAnswered(disk.state, { update: pending.update, status }));
        }
      };
      const learnedBy = new Map<string, number>();

      for (const [index, { change, verdict, lost, isRollback, kill }] of steps.entries()) {
        if (isRollback) root++;
        version++;
        const round = { round: index, base: { hash: `h${index}`, root: `r${root}`, version, length: 1 } as never };
        if (kill !== undefined) disk.killAfter(kill);
        try {
          live(round, change, verdict, lost);
        } catch (thrown) {
          expect((thrown as Error).message).toBe("killed");
        }
        disk.killAfter(Number.POSITIVE_INFINITY);
        // The next life settles what waits before anything else.
        live(round, change, verdict, 0);
        if (disk.state.pending) live(round, change, verdict, 0);
        const { residual, pending } = disk.state;
        expect(pending).toBeNull();
        const held = residual ? disk.files.get(residual.file) : 0;
        expect(told + (held ?? Number.NaN)).toBe(learned);
      }
    }),
    { numRuns: 300 },
  );
});

it("takes an update that nobody answers for one that counts", () => {
  const left = { file: "l", lineage: "", version: 1, length: 1 };
  const pending = { round: 1, key: "1/h", update: "u", file: "f", box: "", left, cursors: { s: 9 } };
  const state = { ...noRounds, residual: { ...left, file: "old" }, pending };
  expect(updateCounted(state)).toEqual({ ...noRounds, residual: left, pending: null, done: "1/h", cursors: { s: 9 } });
  expect(updateAnswered(state, { update: "u", status: "stale" })).toMatchObject({
    residual: { file: "old" },
    cursors: {},
  });
});

it("carries nothing over to another line of versions, to an older base, or to a model of another size", () => {
  const residual = { file: "r", lineage: "root", version: 5, length: 4 };
  const base = { version: 6, hash: "h", root: "root", length: 4, sources: [], tensors: {} };
  const carried = (changed: object) => residualFor({ ...noRounds, residual }, { base: { ...base, ...changed } });
  expect(carried({})).toBe(residual);
  // A round that is opened again begins with the same base.
  expect(carried({ version: 5 })).toBe(residual);
  for (const changed of [{ root: "other" }, { root: undefined }, { version: 4 }, { length: 5 }])
    expect(carried(changed)).toBeNull();
});

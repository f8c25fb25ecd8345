import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import type { ErasureRequest } from "../../../src/base/erasure-request.ts";
import type { Source } from "../../../src/base/frame.ts";
import { Store } from "../../../src/buffer/store.ts";
import { commitOf, frameAt, root, setup, stream } from "../../unit/buffer/store-values.ts";

const names = [stream, "cellar"];
const maxReadings = 600;

type Reading = { readonly n: number; readonly source: string; readonly ts: number };

const name = fc.constantFrom(...names);
const request: fc.Arbitrary<ErasureRequest> = fc.oneof(
  fc.constant({ all: true } as const),
  fc
    .record(
      { stream: name, source: fc.constantFrom("m0", "m1", "m2", "m9"), before: fc.nat(maxReadings) },
      { requiredKeys: [] },
    )
    .filter((parts) => Object.keys(parts).length > 0)
    .map(({ before, ...parts }) => ({ ...parts, ...(before === undefined ? {} : { before: timeOf(before) }) })),
);
const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("commit" as const), name, count: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("erase" as const), request }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("step" as const), steps: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: "merge" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "reopen" as const }) },
);

const timeOf = (n: number): number => frameAt(n, 1).ts[0] as number;

/**
 * The model is a list of readings by stream. An erasure filters it at once; nothing that comes later changes what it
 * took, wherever its steps have got to, whatever is committed, merged or opened again in between.
 */
it("holds exactly what nobody has erased, from the moment that an erasure begins", () => {
  fc.assert(
    fc.property(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) => {
      const dir = mkdtempSync(join(tmpdir(), "tidegate-erasure-model-"));
      const streams = names.map((each) => setup({}, each));
      const limits = { maxBytes: 2 ** 30, minFree: { bytes: 0 } };
      const options = { dir, storageRoot: root, streams, limits, blockReadings: 32, synchronous: "OFF" } as const;
      const open = () => new Store(options, (event) => expect(event).toBeNull());
      let store = open();
      const model = new Map(names.map((each) => [each, [] as Reading[]]));
      const next = new Map(names.map((each) => [each, 0]));
      const expectSame = () => {
        for (const each of names) {
          const { sources } = store.stateOf(each);
          const got: Reading[] = [];
          for (let from = 0, isMore = true; isMore; ) {
            const frames = store.read(each, { from, limit: 100 });
            isMore = frames.length > 0;
            for (const { first, count, source, ts } of frames)
              for (let i = 0; i < count; i++) {
                from = first + i + 1;
                const { mote } = sources[source[i] as number] ?? {};
                got.push({ n: first + i, source: mote ?? "?", ts: ts[i] as number });
              }
          }
          expect(got).toEqual(model.get(each));
        }
      };
      /** Steps of what is under way; to its end with none given. */
      const work = (steps = Number.POSITIVE_INFINITY) => {
        for (let i = 0; i < steps && store.erasure(); i++)
          if (store.eraseStep()) store.eraseEnd(Buffer.from("receipt"));
      };
      try {
        for (const step of actions) {
          if (step.do === "commit") commit(step.name, step.count);
          else if (step.do === "step") work(step.steps);
          else if (step.do === "merge") while (store.mergeStep() > 0);
          else if (step.do === "reopen") {
            store.close();
            store = open();
          } else {
            work();
            store.eraseBegin(step.request);
            for (const each of names)
              model.set(each, model.get(each)?.filter((one) => !isMeant(step.request, each, one)) ?? []);
          }
          expectSame();
        }
        work();
        expectSame();
        const stored = names.map((each) => store.stats().streams[each]?.readings);
        expect(stored).toEqual(names.map((each) => model.get(each)?.length));
      } finally {
        store.close();
        rmSync(dir, { recursive: true, force: true });
      }

      /** Readings of three sources in turn; one whose name was erased gets a new number. */
      function commit(each: string, count: number): void {
        const known = store.stateOf(each).sources;
        const motes = ["m0", "m1", "m2"];
        const added: Source[] = motes
          .filter((mote) => known.every((one) => one.mote !== mote))
          .map((mote) => ({ mote }));
        const all = [...known, ...added];
        const first = next.get(each) ?? 0;
        const frame = frameAt(first, count, each);
        const source = Uint32Array.from(frame.ts, (_, i) =>
          all.findIndex(({ mote }) => mote === motes[(first + i) % 3]),
        );
        const sources = added.length > 0 ? [{ stream: each, at: known.length, sources: added }] : [];
        store.commit(commitOf([{ ...frame, source }], { sources }));
        for (let i = 0; i < count; i++)
          model.get(each)?.push({ n: first + i, source: motes[(first + i) % 3] ?? "", ts: frame.ts[i] as number });
        next.set(each, first + count);
      }
    }),
    { numRuns: 16 },
  );
});

function isMeant({ stream: of, source, before }: ErasureRequest, name: string, reading: Reading): boolean {
  return (
    (of === undefined || of === name) &&
    (source === undefined || source === reading.source) &&
    (before === undefined || reading.ts < before)
  );
}

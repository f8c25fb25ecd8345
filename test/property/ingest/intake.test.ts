import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeClock } from "../../../src/base/clock.ts";
import { readingFlags } from "../../../src/base/frame.ts";
import type { DeadLetter } from "../../../src/ingest/dead-letter.ts";
import { Intake } from "../../../src/ingest/intake.ts";
import { Router } from "../../../src/ingest/router.ts";
import { compileFilter } from "../../../src/ingest/topic-filter.ts";
import { compilePattern } from "../../../src/ingest/topic-pattern.ts";
import type { Repeat } from "../../../src/wire/link-redelivery.ts";

const level = fc.oneof(
  fc.constantFrom("a", "b", "env", "", "$SYS", "tidegate", "__proto__", "constructor", "ü ✓", "{x}"),
  fc.string({ unit: "grapheme", maxLength: 8 }).map((text) => text.replace(/[/]/g, "")),
);
const topic = fc.array(level, { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));
const patternLevel = fc.oneof(
  fc.constantFrom("a", "b", "env"),
  fc.constantFrom("{x}", "{y}", "{z...}", "{constructor}"),
);
const pattern = fc.uniqueArray(patternLevel, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));

describe("any topic", () => {
  it("can be built again from what a pattern captured, and lies under its filter", () => {
    let matched = 0;
    fc.assert(
      fc.property(pattern, topic, (text, published) => {
        const compiled = compilePattern(text);
        const source = compiled.match(published);
        if (!source) return;
        matched++;
        const built = text.replace(/\{(\w+)(?:\.\.\.)?\}/g, (_, name: string) => source[name] ?? "?");
        expect(built).toBe(published);
        expect(Object.keys(source)).toEqual(compiled.names);
        expect(compiled.covers(published)).toBe(true);
        expect(published).not.toMatch(/^(?:\$|tidegate\/)/);
      }),
      { numRuns: 3_000 },
    );
    expect(matched).toBeGreaterThan(100);
  });

  it("is covered by the filters that a regular expression would say", () => {
    const filterLevel = fc.oneof(fc.constantFrom("a", "b", "env", "", "$SYS"), fc.constantFrom("+", "+"));
    const filter = fc
      .tuple(fc.array(filterLevel, { minLength: 1, maxLength: 4 }), fc.constantFrom("", "/#"))
      .map(([levels, tail]) => levels.join("/") + tail)
      .filter((text) => text !== "");
    const plain = fc.array(fc.constantFrom("a", "b", "env", "", "$SYS"), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(filter, plain, (text, parts) => {
        const escaped = text.replace(/\$/g, "\\$").replace(/\+/g, "[^/]*").replace(/\/#$/, "(?:/.*)?");
        const published = parts.join("/");
        const isSpared = published.startsWith("$") && text.startsWith("+");
        expect(compileFilter(text)(published)).toBe(!isSpared && new RegExp(`^${escaped}$`).test(published));
      }),
      { numRuns: 3_000 },
    );
  });
});

const body = fc.oneof(
  fc.record({ t: fc.integer(), ts: fc.integer({ min: 0, max: 4e12 }) }, { requiredKeys: ["t"] }),
  fc.array(fc.record({ t: fc.integer() }), { maxLength: 5 }),
  fc.constantFrom<unknown>({ x: 1 }, { t: "warm" }, "text", { t: 1, ts: "soon" }),
);
type Step =
  | { do: "send"; topic: string; body: unknown; repeat: Repeat; qos: number }
  | { do: "take"; isStored: boolean }
  | { do: "jump"; wall: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      topic: fc.oneof(fc.constantFrom("m/1", "m/2", "m/3", "m/4", "elsewhere"), topic),
      body,
      repeat: fc.constantFrom<Repeat>("no", "no", "maybe", "certain"),
      qos: fc.nat(1),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("take" as const), isStored: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("jump" as const), wall: fc.integer({ min: 0, max: 4e12 }) }) },
);

describe("any run of messages, commits and clock jumps", () => {
  // Invariants: every message ends in exactly one place; sequence numbers have no gaps; the frames hold what the
  // callbacks told, in order; each frame's sources are known to the journal or come with it.
  it("loses nothing and counts everything", { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new FakeClock(1_800_000_000_000);
        const letters: DeadLetter[] = [];
        const told: number[][] = [];
        const framed: number[][] = [];
        const journal: unknown[] = [];
        const intake = new Intake({
          name: "env",
          stream: {
            codec: "json",
            topic: "m/{mote}",
            exclude: ["m/4"],
            fields: { t: "t" },
            timestamp: "ts",
            maxPayload: 10_000,
            maxSources: 2,
          },
          clock,
          sources: [],
          next: 7,
          maxPending: 12,
          onDead: (letter) => letters.push(letter),
          onReading: (source, sequence, ts, arrived, values, flags) =>
            told.push([sequence, source, ts, arrived, flags, ...values]),
        });
        const router = new Router([intake], clock, (letter) => letters.push(letter));
        let sent = 0;
        const take = (isStored: boolean) => {
          const { frame, newSources } = intake.take();
          for (let i = 0; i < (frame?.count ?? 0); i++) {
            const row = [frame?.source, frame?.ts, frame?.arrived, frame?.flags, frame?.values[0]];
            framed.push([(frame?.first ?? 0) + i, ...row.map((column) => column?.[i] ?? Number.NaN)]);
          }
          const known = [...journal, ...newSources];
          for (const source of frame?.source ?? []) expect(known[source]).toEqual(intake.sources[source]);
          if (!isStored) return;
          journal.push(...newSources);
          intake.markStored(journal.length);
        };
        for (const each of steps) {
          clock.advance(3);
          if (each.do === "take") take(each.isStored);
          else if (each.do === "jump") clock.jump(each.wall);
          else {
            sent++;
            router.accept(each.topic, Buffer.from(JSON.stringify(each.body)), each.repeat, each.qos);
          }
          expect(intake.sources.length).toBeLessThanOrEqual(2);
        }
        take(true);
        expect(framed).toEqual(told);
        expect(framed.map((row) => row[0])).toEqual(framed.map((_, i) => 7 + i));
        expect(journal).toEqual(intake.sources);
        const { messages, readings, late, dead } = intake.counters;
        const { own, excluded, unknown } = router.counters;
        expect(messages + own + excluded + unknown).toBe(sent);
        expect(letters.length).toBe(dead + unknown);
        expect(letters.every((letter) => letter.code !== "BUG")).toBe(true);
        expect(readings).toBe(framed.length);
        expect(framed.filter((row) => ((row[4] ?? 0) & readingFlags.late) !== 0).length).toBe(late);
      }),
      { numRuns: 400 },
    );
  });
});

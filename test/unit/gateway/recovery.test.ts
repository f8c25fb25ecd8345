import { expect, it } from "vitest";
import { runsOf as runs } from "../../support/killed-lives.ts";
import { cleaned, Disk, Life } from "../../support/path-world.ts";

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

/** A disk with so many readings, none of which has its result. */
function owing(readings: number): Disk {
  const disk = new Disk();
  disk.add(readings);
  return disk;
}

it("gives what is owed no faster than the broker confirms it", async () => {
  const disk = owing(10_000);
  const life = new Life(disk, {}, { limit: 0 });
  const recovered = life.recover();
  await pause();
  await pause();
  await pause();
  expect(life.path.behind).toBeGreaterThan(1_000);
  life.confirm(1e9);
  await recovered;
  await life.settled();
  expect(runs(life.given)).toEqual(["1-9999"]);
  expect([life.path.behind, life.path.publisher.counters.failed]).toEqual([0, 0]);
});

it("brings the work forward in a life that ends before it has caught up", async () => {
  const disk = owing(10_000);
  const life = new Life(disk, {}, { limit: 6_000 });
  const recovered = life.recover();
  while (life.path.publisher.counters.published < 6_000) await pause();
  life.ending.abort();
  await recovered;
  expect(disk.inferred).toBeGreaterThan(1_000);
  expect(disk.inferred).toBeLessThanOrEqual(6_001);
  const { inferred } = disk;
  const next = new Life(disk);
  await next.recover();
  await next.settled();
  expect(runs(next.given)).toEqual([`${inferred}-9999`]);
});

it("gives what is owed, and judges what arrives, while the disk takes nothing", async () => {
  const disk = owing(10_000);
  disk.isFailing = true;
  const life = new Life(disk);
  await life.recover();
  expect(life.committer.failingSince).not.toBeNull();
  life.take(10_000, 10_100);
  await life.settled();
  expect(runs(life.given)).toEqual(["1-10099"]);
  life.committer.stop();
});

it("judges what arrives meanwhile in its turn, and calls only the earlier repeated", async () => {
  const disk = owing(5_000);
  const life = new Life(disk, {}, { limit: 0 });
  const recovery = await life.prepare();
  life.take(5_000, 5_500);
  const recovered = recovery.run(life.ending.signal);
  await pause();
  life.confirm(1e9);
  life.take(5_500, 5_600);
  await recovered;
  life.take(5_600, 5_601);
  await life.settled();
  expect(runs(life.given)).toEqual(["1-5600"]);
  expect(life.results.filter((result) => "repeated" in result).length).toBe(4_999);
});

it("counts no inference that an earlier life has given", async () => {
  const disk = owing(1_000);
  disk.inferred = 600;
  const life = new Life(disk);
  await life.recover();
  await life.settled();
  expect([life.given.length, life.path.counters.inferences]).toEqual([400, 400]);
});

it("takes snapshots of a stream that never stands still, and none that leaves a result ungiven", async () => {
  const disk = new Disk();
  const life = new Life(disk);
  await life.recover();
  for (let n = 0; n < 25_000; n += 1_000) {
    life.take(n, n + 1_000);
    // Windows wait for their results, and results for the broker, whenever it looks.
    expect(life.scheduler.outstanding).toBeGreaterThan(0);
    const snapshot = life.snapshots.of(life.path);
    if (snapshot) life.collector.addSnapshot(snapshot);
    await pause();
    await life.committer.flush();
  }
  expect(disk.saved?.sequence).toBeGreaterThanOrEqual(10_000);
  const played = disk.next - (disk.saved?.sequence ?? 0);
  const next = new Life(disk);
  const before = disk.inferred;
  await next.recover();
  expect(played).toBeLessThanOrEqual(15_000);
  await next.settled();
  expect(runs(next.given)).toEqual([`${before}-24999`]);
});

/** Two sources on a grid of a second: the cell of `m0` holds the older reading and is closed last. */
const crossed = { every: 1_000, window: { size: 1, hop: 1, maxGap: 60_000 } };
function cross(life: Life): void {
  life.read("m0", 0, 1);
  life.read("m1", 100, 2);
  life.read("m1", 1_100, 3);
  life.read("m0", 1_200, 4);
}

it("still owes the window of an older reading that was closed after that of a newer one", async () => {
  const disk = new Disk();
  const life = new Life(disk, crossed);
  life.isComputing = false;
  cross(life);
  await life.committer.flush();
  life.collector.touch();
  await life.committer.flush();
  expect(disk.inferred).toBe(0);
});

it.each([0, 1])("still owes the result that comes second when the broker has confirmed %i", async (confirmed) => {
  const disk = new Disk();
  const life = new Life(disk, crossed, { limit: confirmed });
  cross(life);
  await life.scheduler.drained();
  await pause();
  await life.committer.flush();
  life.collector.touch();
  await life.committer.flush();
  expect(life.given).toEqual([100, 0]);
  const next = new Life(disk, crossed);
  await next.recover();
  await next.settled();
  expect(next.given).toContain(0);
});

it("still owes a reading that waits for the line over its missing value", async () => {
  const linear = {
    window: crossed.window,
    clean: { ...cleaned, range: { a: [0, 10] as [number, number] }, missing: "linear" as const },
  };
  const disk = new Disk();
  const life = new Life(disk, linear);
  life.read("m0", 0, 1);
  life.read("m0", 100, 99);
  life.read("m1", 200, 2);
  await life.settled();
  await life.committer.flush();
  life.collector.touch();
  await life.committer.flush();
  const next = new Life(disk, linear);
  await next.recover();
  next.read("m0", 300, 3);
  await next.settled();
  expect([life.given, next.given]).toEqual([
    [0, 200],
    [200, 100, 300],
  ]);
});

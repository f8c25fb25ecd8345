import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { afterEach, expect, it } from "vitest";
import { stringify } from "yaml";
import type { RoundDocument } from "../../src/federated/round-document.ts";
import { tidegate } from "../support/command-line.ts";
import { bundleOf, type CoordinatorConfig, CoordinatorProcess } from "../support/coordinator-process.ts";
import { until } from "../support/links.ts";
import { describeReal, type Mosquitto, startMosquitto } from "../support/mosquitto.ts";
import { TestGateway, type TestGatewayOptions } from "../support/test-gateway.ts";

const model = "mote-anomaly";
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Settings of one model, `changed` in parts. */
const configOf = (broker: Mosquitto, changed: object = {}, rest: CoordinatorConfig = {}): CoordinatorConfig => ({
  broker: broker.url,
  models: {
    [model]: { bundle: bundleOf(model), quorum: { min: 2, target: 3 }, training: { clip: 1 }, ...changed },
  },
  ...rest,
});

async function startBroker(): Promise<Mosquitto> {
  const broker = await startMosquitto();
  stops.push(() => broker.stop());
  return broker;
}

function coordinatorOf(config: CoordinatorConfig, dataDir?: string): CoordinatorProcess {
  const coordinator = new CoordinatorProcess(config, dataDir);
  stops.push(() => coordinator.remove());
  return coordinator;
}

async function join(
  coordinator: CoordinatorProcess,
  broker: Mosquitto,
  id: string,
  options: Partial<TestGatewayOptions> = {},
): Promise<TestGateway> {
  const gateway = new TestGateway({ id, url: broker.url, model, trusted: [coordinator.publicKey], ...options });
  stops.push(() => gateway.stop());
  const key = Buffer.from(gateway.keys.signer.publicKey).toString("base64");
  await coordinator.ask("fleet.enroll", { gateway: id, key });
  await gateway.start();
  return gateway;
}

const roundIs =
  (round: number, state: string) => (status: { models: readonly { round: number | null; state: string | null }[] }) =>
    status.models[0]?.round === round && status.models[0].state === state;

describeReal("a coordinator and its fleet", () => {
  it("learns over rounds, and tells what was in them", async () => {
    const broker = await startBroker();
    const coordinator = coordinatorOf(configOf(broker, { normalization: { centred: { low: -40, high: 40 } } }));
    await coordinator.start();
    const gateways = await Promise.all(["gw-1", "gw-2", "gw-3"].map((id) => join(coordinator, broker, id)));
    const { code } = await tidegate(["fleet", "rounds", "start", model, "--rounds", "3", "--config", coordinator.file]);
    expect(code).toBe(0);
    await coordinator.until(roundIs(3, "published"), "has published round 3");
    const history = await tidegate(["fleet", "rounds", "history", "--json", "--config", coordinator.file]);
    const { rounds } = history.json() as { rounds: Record<string, unknown>[] };
    expect(rounds.map(({ round, mode, accepted, version }) => [round, mode, accepted, version])).toEqual([
      [0, "statistics", 3, 2],
      [1, "weights", 3, 3],
      [2, "weights", 3, 4],
      [3, "weights", 3, 5],
    ]);
    expect(rounds[2]?.metrics).toMatchObject({ loss: 1 / 3 });
    await until(() => gateways[0]?.round?.state === "closed", "the closed round is announced");
    const bases = gateways[0]?.rounds.map(({ base }) => base) ?? [];
    // Uniform over [-40, 40]: a deviation of 80 / sqrt(12).
    const spread = bases.at(-1)?.tensors.spread?.[0] ?? 0;
    expect(Math.abs(spread - 80 / Math.sqrt(12))).toBeLessThan(3);
    expect(new Set(bases.slice(1).map(({ hash }) => hash)).size).toBe(3);
    const screen = await tidegate(["fleet", "rounds", "history", "--config", coordinator.file]);
    expect(screen.out).toMatch(/loss +[▁▂▃▄▅▆▇█]+ {2}0.5 to 0.25/);
    const status = await tidegate(["fleet", "status", "--config", coordinator.file]);
    expect(status.out).toContain("this coordinator leads");
    expect(status.out).toMatch(/gw-2 .*member/);
    expect(await coordinator.stop()).toBe(0);
  });

  it("takes a gateway in by a token, once, and another by an operator's word", async () => {
    const broker = await startBroker();
    const coordinator = coordinatorOf({ broker: broker.url });
    await coordinator.start();
    const site = (id: string): string => {
      const dir = mkdtempSync(resolve(tmpdir(), "tidegate-join-"));
      stops.push(() => rmSync(dir, { recursive: true, force: true }));
      const cloud = { keys: [Buffer.from(coordinator.publicKey).toString("base64")], roles: ["coordinator"] };
      writeFileSync(resolve(dir, "policy.yaml"), stringify({ principals: { cloud }, rules: [] }));
      const config = { version: 1, gateway: { id, fleet: "demo", dataDir: "data" }, sensors: { url: broker.url } };
      const file = resolve(dir, "tidegate.yaml");
      writeFileSync(file, stringify({ ...config, cloud: { url: broker.url }, policy: "policy.yaml", streams: {} }));
      return file;
    };
    const enrol = (...words: string[]) => tidegate(["fleet", "enroll", ...words, "--config", coordinator.file]);
    const ask = (file: string, ...words: string[]) => tidegate(["fleet", "join", "--json", "--config", file, ...words]);
    const token = (await enrol("--token")).out.trim();
    const [first, second] = [site("gw-1"), site("gw-2")];
    const taken = await ask(first, "--token", token);
    expect([taken.json(), taken.code]).toEqual([{ status: "enrolled" }, 0]);
    const refused = await ask(second, "--token", token);
    expect([refused.json(), refused.code]).toEqual([{ status: "refused", reason: "used" }, 1]);
    expect((await ask(second)).json()).toEqual({ status: "waiting" });
    expect((await coordinator.status()).requests).toMatchObject([{ gateway: "gw-2" }]);
    expect((await enrol("gw-2")).code).toBe(0);
    expect((await ask(second)).json()).toEqual({ status: "enrolled" });
  }, 60_000);

  it("measures each new version on examples of its own", async () => {
    const broker = await startBroker();
    const points = Array.from({ length: 40 }, (_, i) => `${i / 4},${(3 * i) / 4 + 2}`);
    const coordinator = coordinatorOf({ broker: broker.url });
    writeFileSync(resolve(coordinator.dir, "points.csv"), ["x,y", ...points].join("\n"));
    const line = "linear-regression";
    const validation = { data: ["points.csv"] };
    const settings = { bundle: bundleOf(line), rounds: 1, quorum: { min: 1, target: 1 }, validation };
    coordinator.configure({ broker: broker.url, models: { [line]: settings } });
    await coordinator.start();
    await join(coordinator, broker, "gw-1", { model: line });
    await coordinator.until(roundIs(1, "published"), "has published round 1");
    const { rounds } = await coordinator.ask<{ rounds: { metrics: Record<string, number> }[] }>("fleet.rounds.history");
    // The line that the bundle has, and an update of at most 0.01 in each of its two numbers.
    expect(rounds[0]?.metrics["validation.r2"]).toBeGreaterThan(0.95);
    expect(rounds[0]?.metrics["validation.r2"]).toBeLessThan(1);
  });

  it("ends a round at its deadline with those that came, and tells the late that it is closed", async () => {
    const broker = await startBroker();
    const coordinator = coordinatorOf(configOf(broker, { deadline: "1s", rounds: 2, quorum: { min: 2, target: 3 } }));
    await coordinator.start();
    await join(coordinator, broker, "gw-1");
    await join(coordinator, broker, "gw-2");
    const late = await join(coordinator, broker, "gw-3", { isPassive: true });
    const first = await waitForRound(late, 1);
    const before = performance.now();
    await coordinator.until((status) => (status.models[0]?.round ?? 0) >= 2, "has gone on");
    expect(performance.now() - before).toBeGreaterThan(200);
    late.answer(first);
    await until(() => late.receipts.some(({ round, status }) => round === 1 && status === "stale"), "a receipt: stale");
    expect(late.receipts.at(-1)).toMatchObject({ status: "stale", reason: "closed", round: 1 });
  });

  it("learns asynchronously from updates of several rounds", async () => {
    const broker = await startBroker();
    const coordinator = coordinatorOf(
      configOf(broker, { strategy: "fedbuff", maxStaleness: 2, rounds: 4, quorum: { min: 2, target: 2 } }),
    );
    await coordinator.start();
    const slow = await join(coordinator, broker, "gw-9", { isPassive: true });
    const first = await waitForRound(slow, 1);
    await join(coordinator, broker, "gw-1");
    await join(coordinator, broker, "gw-2");
    await coordinator.until(roundIs(4, "published"), "has published round 4");
    await coordinator.ask("fleet.rounds.start", { rounds: 1 });
    await coordinator.until((status) => (status.models[0]?.round ?? 0) >= 5, "has gone on");
    slow.answer(first);
    await until(() => slow.receipts.length > 0, "an answer for one of round 1");
    expect(slow.receipts[0]).toMatchObject({ status: "stale", reason: "closed" });
  });

  it("asks for what is missing, and counts an update once however often it comes", async () => {
    const broker = await startBroker();
    const coordinator = coordinatorOf(configOf(broker, { rounds: 1, quorum: { min: 2, target: 2 } }));
    await coordinator.start();
    const gateway = await join(coordinator, broker, "gw-1", { isPassive: true, maxPayload: 1_664 });
    const round = await waitForRound(gateway, 1);
    const cut = gateway.cut(gateway.updateFor(round), round);
    expect(cut.of).toBeGreaterThan(3);
    for (const n of [0, 2, cut.of - 1]) gateway.sendPart(cut.part(n), round);
    await until(() => gateway.receipts.length === 1, "a receipt: partial");
    const missing = Array.from({ length: cut.of }, (_, n) => n).filter((n) => ![0, 2, cut.of - 1].includes(n));
    expect(gateway.receipts[0]).toMatchObject({ status: "partial", missing, update: cut.hash });
    for (const n of missing) gateway.sendPart(cut.part(n), round);
    await until(() => gateway.receipts.length === 2, "a receipt: accepted");
    expect(gateway.receipts[1]).toMatchObject({ status: "accepted", update: cut.hash });
    for (let n = 0; n < cut.of; n++) gateway.sendPart(cut.part(n), round);
    await until(() => gateway.receipts.some(({ status }) => status === "duplicate"), "a receipt: duplicate");
    expect((await coordinator.status()).models[0]).toMatchObject({ accepted: 1, round: 1 });
  });
});

async function waitForRound(gateway: TestGateway, number: number): Promise<RoundDocument> {
  await until(() => gateway.rounds.some(({ round, state }) => round === number && state === "open"), `round ${number}`);
  return gateway.rounds.find(({ round, state }) => round === number && state === "open") as RoundDocument;
}

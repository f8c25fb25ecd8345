import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeBundle } from "../support/model-bundle.ts";
import { jsonOf, Site, tidegate } from "./verbs-fixture.ts";

const golden = (score: number) => ({
  payloads: Array.from({ length: 4 }, () => '{"a":1,"b":2}'),
  outputs: { score },
  verdict: "normal",
});

let site: Site;
let models: string;
beforeEach(() => {
  site = new Site({
    models: { dir: "./models" },
    streams: { env: { topic: "x/{y}", fields: { a: "a", b: "b" }, model: "sum" } },
  });
  models = join(site.dir, "models");
  writeBundle(models, { name: "sum", version: 3, golden: [golden(12)], card: { trainable: {} } });
});
afterEach(() => site.remove());

describe("tidegate model ls", () => {
  it("lists models with the promised keys, and says which the configuration uses", async () => {
    writeBundle(models, { name: "spare" });
    const list = jsonOf<object[]>(await site.run("model", "ls", "--json"));
    expect(list).toEqual([
      expect.objectContaining({ name: "spare", version: 1, task: "anomaly", active: false }),
      expect.objectContaining({ name: "sum", version: 3, task: "anomaly", active: true, streams: ["env"] }),
    ]);
  });

  it("lists a broken bundle with its fault among the others", async () => {
    writeBundle(models, { name: "bad" });
    writeFileSync(join(models, "bad", "card.yaml"), "format: 1\n");
    const ran = await site.run("model", "ls", "--json");
    expect(ran.code).toBe(0);
    expect(jsonOf<object[]>(ran)[0]).toMatchObject({ name: "bad", version: null, fault: expect.any(String) });
    expect((await site.run("model", "ls")).err).toContain("bad: ");
  });
});

describe("tidegate model show", () => {
  it("tells what the graph is made of, with the promised keys", async () => {
    const shown = jsonOf<Record<string, unknown>>(await site.run("model", "show", "sum", "--json"));
    expect(shown).toMatchObject({
      name: "sum",
      version: 3,
      task: "anomaly",
      parameters: expect.any(Number),
      inputs: [{ name: "window", type: "float32", shape: ["batch", 4, 2] }],
      outputs: [{ name: "score", type: "float32", shape: ["batch"] }],
    });
    const operators = shown.operators as { op: string; count: number; trainable: boolean }[];
    expect(operators).toContainEqual({ op: "ReduceSum", count: 1, trainable: false });
  });

  it("tells which operators work on tensors that may be trained", async () => {
    const packaged = new Site();
    const { operators } = jsonOf<{ operators: { op: string; trainable: boolean }[] }>(
      await packaged.run("model", "show", "mote-anomaly", "--json"),
    );
    packaged.remove();
    const isTrainable = (name: string) => operators.find(({ op }) => op === name)?.trainable;
    expect(isTrainable("Gemm")).toBe(true);
    expect(isTrainable("Flatten")).toBe(false);
  });

  it("names the nearest when there is none of this name", async () => {
    const ran = await site.run("model", "show", "summ", "--json");
    expect(ran.code).toBe(78);
    expect(jsonOf<{ error: { nearest: string } }>(ran).error.nearest).toBe("sum");
  });
});

describe("tidegate model new", () => {
  it("makes a bundle that loads, whose weights can all be trained", async () => {
    const words = ["--template", "autoencoder", "--fields", "pressure,flow", "--window", "8", "--period", "5s"];
    const ran = await site.run("model", "new", "pump", ...words, "--dir", site.dir, "--json");
    expect(ran.code).toBe(0);
    const { dir, parameters } = jsonOf<{ dir: string; parameters: number }>(ran);
    expect((await site.run("model", "verify", dir)).out).toContain("agrees with its card");
    const shown = jsonOf<{ trainableParameters: number; blockedBy: []; operators: object[] }>(
      await site.run("model", "show", dir, "--json"),
    );
    // All but the spread of two fields and the threshold.
    expect(shown.trainableParameters).toBe(parameters - 3);
    expect(shown.blockedBy).toEqual([]);
    expect(shown.operators).toContainEqual({ op: "Tanh", count: 3, trainable: true });
  });

  it("leaves a folder that is there as it is (78), and names the templates (64)", async () => {
    const pump = ["model", "new", "pump", "--template", "mlp", "--dir", site.dir];
    expect((await site.run(...pump)).code).toBe(0);
    const again = await site.run(...pump);
    expect(again).toMatchObject({ code: 78, err: expect.stringContaining("already") });
    const unknown = await site.run("model", "new", "other", "--template", "autoencode", "--dir", site.dir);
    expect(unknown).toMatchObject({ code: 64, err: expect.stringContaining("is it autoencoder?") });
    const odd = await site.run("model", "new", "a b", "--template", "mlp", "--dir", site.dir);
    expect(odd.code).toBe(64);
  });
});

describe("tidegate model quantize", () => {
  it("makes a bundle a quarter of the size that judges as before, and tells both", async () => {
    const out = join(site.dir, "digits-small");
    const words = ["model", "quantize", "./models/digits-cnn", "--out", out, "--json"];
    const made = jsonOf<{ golden: number; judgedAlike: number; before: { bytes: number }; after: { bytes: number } }>(
      await tidegate(...words),
    );
    expect(made).toMatchObject({ name: "digits-small", golden: 10, judgedAlike: 10 });
    expect(made.after.bytes).toBeLessThan(made.before.bytes / 3);
    expect((await tidegate("model", "verify", out)).out).toContain("all 10 golden samples");
    expect((await tidegate(...words)).code).toBe(78);
  });

  it("refuses a mode that is none (64), and a model without weights to speak of (65)", async () => {
    expect((await tidegate("model", "quantize", "./models/digits-cnn", "--mode", "int4")).code).toBe(64);
    const out = join(site.dir, "line");
    expect((await tidegate("model", "quantize", "./models/linear-regression", "--out", out)).code).toBe(65);
  });
});

describe("tidegate model verify", () => {
  it("passes a bundle that gives what its golden samples ask for", async () => {
    const ran = await site.run("model", "verify", "sum", "--json");
    expect(ran.code).toBe(0);
    expect(jsonOf(ran)).toMatchObject({ name: "sum", version: 3, passed: true, samples: 1, faults: [] });
  });

  it("ends with 1 and names what differs", async () => {
    const dir = writeBundle(models, { name: "off", golden: [golden(12), golden(13)] });
    const ran = await site.run("model", "verify", dir, "--json");
    expect(ran.code).toBe(1);
    const { passed, faults } = jsonOf<{ passed: boolean; faults: string[] }>(ran);
    expect(passed).toBe(false);
    expect(faults).toEqual([expect.stringContaining("output score is 12, not 13")]);
  });

  it("refuses a model file that is cut off (65), in a sentence", async () => {
    truncateSync(join(models, "sum", "model.onnx"), 100);
    const ran = await site.run("model", "verify", "sum");
    expect(ran.code).toBe(65);
    expect(ran.err).toMatch(/^tidegate: .*not a readable ONNX model/);
  });
});

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GraphBuilder } from "../../../src/onnx/graph-builder.ts";
import { decodeModel, encodeModel, opsetOf, readModel } from "../../../src/onnx/model-file.ts";
import { type ModelProto, StringStringEntryProtoSchema } from "../../../src/onnx/onnx_pb.ts";
import { floats, numbers, runModel } from "../../support/run-model.ts";

function adding(): GraphBuilder {
  const g = new GraphBuilder();
  const w = g.initializer("w", floats([2], [3, 4]));
  g.output("y", g.add(g.input("x", "float32", [2]), w));
  return g;
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tidegate-onnx-"));
  await mkdir(join(folder, "model"));
});
afterEach(() => rm(folder, { recursive: true }));

test("fields that are newer than the schema are written again", () => {
  const future = Buffer.from(new BinaryWriter().tag(99, 2).string("from the future").tag(1001, 0).uint32(7).finish());
  const bytes = Buffer.concat([encodeModel(adding().model), future]);
  expect(Buffer.from(encodeModel(decodeModel(bytes))).includes(future)).toBe(true);
});

test("a field that is set to its default is still set afterwards, one that is not is not", () => {
  const { model, graph } = adding();
  graph.docString = "";
  const read = decodeModel(encodeModel(model));
  expect(read.graph && Object.hasOwn(read.graph, "docString")).toBe(true);
  expect(Object.hasOwn(read, "docString")).toBe(false);
});

test("names may hold anything", async () => {
  const g = new GraphBuilder();
  const names = ["x:0", "a::b", 'say "x"', '{"json": [1]}', "with space", "größe", "\n", "/model/layer.0/Add"];
  for (const name of names) g.output(`${name}!`, g.neg(g.input(name, "float32", [])));
  const feeds = Object.fromEntries(names.map((name, index) => [name, floats([], [index])]));
  const results = await runModel(decodeModel(encodeModel(g.model)), feeds);
  expect(Object.keys(results)).toEqual(names.map((name) => `${name}!`));
});

test.each([
  ["empty", new Uint8Array()],
  ["text", Buffer.from("<!DOCTYPE html><html><body>404</body></html>")],
  ["another message", Uint8Array.of(8, 7)],
  ["cut off", encodeModel(adding().model).subarray(0, -3)],
])("what is no model (%s) is refused", (_, bytes) => {
  expect(() => decodeModel(bytes, "m.onnx")).toThrow(
    expect.objectContaining({ code: "MODEL_UNREADABLE", message: expect.stringContaining("m.onnx") }),
  );
});

test("a file that is not there is told by name", async () => {
  await expect(readModel(join(folder, "none.onnx"))).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
});

/** The model with its weight moved to a file, as `entries` say. */
async function writeExternal(entries: Record<string, string>): Promise<string> {
  const model: ModelProto = adding().model;
  const w = model.graph?.initializer[0];
  if (!w) throw new Error("no weight");
  await writeFile(join(folder, "model", "weights.bin"), Buffer.concat([Buffer.alloc(8), w.rawData]));
  await writeFile(join(folder, "secret.bin"), Buffer.alloc(64));
  w.rawData = new Uint8Array();
  w.dataLocation = 1;
  w.externalData = Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }));
  const file = join(folder, "model", "model.onnx");
  await writeFile(file, encodeModel(model));
  return file;
}

test.each([
  { location: "weights.bin", offset: "8", length: "8" },
  { location: "weights.bin", offset: "8" },
  { location: "./weights.bin", offset: "8", length: "8", checksum: "abc" },
])("external data come into the model: %j", async (entries) => {
  const model = await readModel(await writeExternal(entries));
  expect(numbers((await runModel(model, { x: floats([2], [1, 1]) })).y)).toEqual([4, 5]);
});

test.each([
  ["above the folder", { location: "../secret.bin" }],
  ["at an absolute path", { location: "/etc/hostname" }],
  ["through a link", { location: "link.bin" }],
  ["in the folder itself", { location: "." }],
  ["nowhere", { location: "none.bin" }],
  ["without a place", {}],
  ["past the end", { location: "weights.bin", offset: "12", length: "8" }],
  ["of an absurd size", { location: "weights.bin", length: "999999999999" }],
  ["at a negative offset", { location: "weights.bin", offset: "-8", length: "8" }],
])("external data %s are refused", async (_, entries) => {
  const file = await writeExternal(entries);
  await symlink(join(folder, "secret.bin"), join(folder, "model", "link.bin"));
  await expect(readModel(file)).rejects.toMatchObject({ code: "MODEL_UNREADABLE" });
});

test("the opset of a domain is found under both of its names", () => {
  const { model } = new GraphBuilder({ opset: 13 });
  expect(opsetOf(model)).toBe(13);
  expect(opsetOf(model, "com.microsoft")).toBeUndefined();
  for (const entry of model.opsetImport) entry.domain = "ai.onnx";
  expect(opsetOf(model)).toBe(13);
});

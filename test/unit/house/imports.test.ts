import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const src = resolve(import.meta.dirname, "../../../src");

/** Which folder of `src/` may import which; ARCHITECTURE.md explains it. A row that is missing is forbidden. */
const mayImport: Record<string, readonly string[]> = {
  base: [],
  drivers: ["base"],
  config: ["base"],
  crypto: ["base"],
  onnx: ["base"],
  wire: ["base", "drivers", "crypto"],
  preprocess: ["base", "onnx"],
  autodiff: ["base", "onnx"],
  ingest: ["base", "config", "wire", "preprocess"],
  inference: ["base", "drivers", "config", "crypto", "onnx", "preprocess"],
  buffer: ["base", "drivers", "config", "crypto"],
  train: ["base", "drivers", "config", "crypto", "onnx", "autodiff", "preprocess", "inference", "buffer"],
  federated: ["base", "config", "crypto", "wire", "onnx", "buffer", "train"],
  hybrid: ["base", "config", "crypto", "wire", "inference", "preprocess"],
  control: ["base", "config", "crypto", "wire", "inference", "buffer"],
  ops: ["base", "config"],
  gateway: [
    ...["base", "drivers", "config", "crypto", "wire", "preprocess", "ingest", "onnx", "inference"],
    ...["buffer", "train", "federated", "hybrid", "control", "ops"],
  ],
  coordinator: [
    ...["base", "drivers", "config", "crypto", "wire", "onnx", "preprocess"],
    ...["federated", "inference", "control", "ops"],
  ],
};

/** Packages that only one kind of place may touch. */
const nativeOrNetwork = ["onnxruntime-node", "better-sqlite3", "mqtt", "aedes", "sharp", "koffi", "pg"];

const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

function importsOf(file: string): string[] {
  const text = readFileSync(join(src, file), "utf8");
  return [...text.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

const folderOf = (path: string): string => (path.includes("/") ? (path.split("/")[0] ?? "") : "");

describe("the house", () => {
  it("imports point one way", () => {
    const wrong = files.flatMap((file) => {
      const folder = folderOf(file);
      if (folder === "" || folder === "commands") return [];
      return importsOf(file)
        .filter((target) => target.startsWith("."))
        .map((target) => relative(src, resolve(src, dirname(file), target)))
        .filter((target) => folderOf(target) !== folder && !(mayImport[folder] ?? []).includes(folderOf(target)))
        .map((target) => `${file} -> ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  it("the coordinator does not train: the round client of federated/ is out of its reach", () => {
    const wrong = files
      .filter((file) => folderOf(file) === "federated" && !file.startsWith("federated/client"))
      .filter((file) => importsOf(file).some((target) => /\.\.\/(buffer|train)\//.test(target)));
    expect(wrong).toEqual([]);
  });

  it("nothing but main imports commands", () => {
    const wrong = files
      .filter((file) => file !== "main.ts" && folderOf(file) !== "commands")
      .filter((file) => importsOf(file).some((target) => /\/commands\//.test(target)));
    expect(wrong).toEqual([]);
  });

  it("native and network packages are imported in drivers alone", () => {
    const wrong = files
      .filter((file) => folderOf(file) !== "drivers")
      .flatMap((file) =>
        importsOf(file)
          .filter((name) => nativeOrNetwork.includes(name))
          .map((name) => `${file} -> ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  it("no file has outgrown its room", () => {
    const long = files
      .filter((file) => !file.endsWith("_pb.ts"))
      .map((file) => [file, readFileSync(join(src, file), "utf8").split("\n").length] as const)
      .filter(([, lines]) => lines > 400);
    expect(long).toEqual([]);
  });

  it("names say what a thing is", () => {
    const vague = files.filter((file) => /(^|\/)(utils?|helpers?|common|managers?|types)(\/|\.ts$)/.test(file));
    expect(vague).toEqual([]);
  });
});

import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { loadExternalData } from "./external-data.ts";
import { type ModelProto, ModelProtoSchema } from "./onnx_pb.ts";

/** Largest file that is opened: a message of protobuf cannot be larger. */
export const maxModelBytes = 2 ** 31 - 1;

/**
 * Decodes a model. Fields that this version does not know are kept and written again by `encodeModel`. Weights share
 * the memory of `bytes`.
 *
 * @param name  how errors call it
 * @throws TidegateError MODEL_UNREADABLE when the bytes are cut off or are no ONNX model
 */
export function decodeModel(bytes: Uint8Array, name = "the model"): ModelProto {
  const model = parse(bytes, name);
  // Protobuf accepts many bytes that were never a model: these three are in every one.
  const missing =
    model.irVersion <= 0n ? "IR version" : !model.graph ? "graph" : model.opsetImport.length === 0 ? "opset" : "";
  if (missing !== "") throw new TidegateError("MODEL_UNREADABLE", { file: name, reason: `it has no ${missing}` });
  return model;
}

function parse(bytes: Uint8Array, name: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw new TidegateError("MODEL_UNREADABLE", { file: name, reason: reasonOf(cause) }, { cause });
  }
}

/** Encodes a model, with every field that it was read with. */
export const encodeModel = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

/**
 * Reads a model and its external data, which become part of the model in memory.
 *
 * @throws TidegateError FILE_UNREADABLE, MODEL_UNREADABLE (also for external data outside the model's folder)
 */
export async function readModel(file: string): Promise<ModelProto> {
  const model = decodeModel(await readBytes(file), basename(file));
  await loadExternalData(model, dirname(file), basename(file));
  return model;
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

/** Opset version of a domain ("": the standard operators); undefined when the model does not import it. */
export function opsetOf(model: ModelProto, domain = ""): number | undefined {
  const isDomain = (entry: string): boolean => entry === domain || (domain === "" && entry === "ai.onnx");
  const entry = model.opsetImport.find((candidate) => isDomain(candidate.domain));
  return entry && Number(entry.version);
}

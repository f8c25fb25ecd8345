import { open, realpath } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { bytesOfType, typeOfNumber } from "./element-type.ts";
import { tensorsIn } from "./graph-walk.ts";
import type { ModelProto, TensorProto } from "./onnx_pb.ts";

/** Most external data that one model may bring, in bytes. */
export const maxExternalBytes = 2 ** 32;

/**
 * Brings tensors that lie in files beside the model into the model, in place.
 *
 * @param folder  the model's folder: files outside it are refused, also through symbolic links
 * @param name  how errors call the model
 * @throws TidegateError MODEL_UNREADABLE
 */
export async function loadExternalData(model: ModelProto, folder: string, name: string): Promise<void> {
  let left = maxExternalBytes;
  for (const proto of tensorsIn(model)) {
    if (proto.dataLocation !== 1) continue;
    const fault = (reason: string, cause?: unknown): TidegateError =>
      new TidegateError(
        "MODEL_UNREADABLE",
        { file: name, reason: `tensor ${JSON.stringify(proto.name)}: ${reason}` },
        { cause },
      );
    const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
    const location = entries.get("location") ?? "";
    const offset = whole(entries.get("offset") ?? "0");
    const given = entries.get("length");
    const length = given === undefined ? sizeInBytes(proto) : whole(given);
    if (offset === undefined || length === undefined) throw fault("offset or length is not a number of bytes");
    if (length > left) throw fault(`its external data exceed ${maxExternalBytes} bytes`);
    left -= length;
    const path = await inside(folder, location).catch((cause: unknown) => {
      throw fault(`cannot find its data ${JSON.stringify(location)}: ${reasonOf(cause)}`, cause);
    });
    if (path === undefined) throw fault(`its data ${JSON.stringify(location)} lie outside the model's folder`);
    proto.rawData = await readRange(path, offset, length).catch((cause: unknown) => {
      throw fault(reasonOf(cause), cause);
    });
    proto.dataLocation = 0;
    proto.externalData = [];
  }
}

/** A count of bytes in decimal; undefined when it is none. */
function whole(text: string): number | undefined {
  const value = Number(text);
  return /^\d{1,15}$/.test(text) ? value : undefined;
}

function sizeInBytes(proto: TensorProto): number | undefined {
  const type = typeOfNumber(proto.dataType);
  const width = type === undefined ? 0 : bytesOfType(type);
  return width === 0 ? undefined : Number(proto.dims.reduce((product, dim) => product * dim, 1n)) * width;
}

async function inside(folder: string, location: string): Promise<string | undefined> {
  const root = await realpath(folder);
  const wanted = resolve(root, location);
  // Checked before the file system is asked, so that a model cannot probe which files exist.
  if (!wanted.startsWith(root + sep)) return undefined;
  const real = await realpath(wanted);
  return real.startsWith(root + sep) ? real : undefined;
}

async function readRange(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    // Before memory is taken for it: the length comes from the model.
    if (offset + length > size) throw new Error(`its data end at byte ${offset + length}, the file at ${size}`);
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
      if (bytesRead === 0) throw new Error("its data file became shorter while it was read");
      done += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

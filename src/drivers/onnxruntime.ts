import { env, InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { type Tensor, type TensorType, tensor } from "../base/tensor.ts";

/** Version of onnxruntime. */
export const runtimeVersion: string = env.versions.node ?? env.versions.common;

/** Where a model runs, in order of preference; onnxruntime places what the first cannot do on the next. */
export type Provider = "cpu" | "cuda" | "tensorrt";

export type SessionOptions = {
  /** Threads of one run, the caller included. Default 1: results repeat exactly only at a fixed number. */
  readonly threads?: number;
  /** Default: cpu alone. */
  readonly providers?: readonly Provider[];
  /** What onnxruntime writes to standard error: 0 everything … 4 fatal faults only. Default 3, errors. */
  readonly logSeverity?: 0 | 1 | 2 | 3 | 4;
  /** How far the graph is rewritten when it is loaded. Default: all. */
  readonly optimize?: "disabled" | "basic" | "extended" | "all";
  /** Sizes for symbolic dimensions, fixed when the model is loaded. */
  readonly sizes?: Readonly<Record<string, number>>;
};

/** What a model declares of an input or output. A symbol, "" or -1 is a size that is not fixed; no type: not a tensor. */
export type Port = { readonly name: string; readonly type?: TensorType; readonly shape?: readonly (number | string)[] };

export type Tensors = Readonly<Record<string, Tensor>>;

/** A loaded model. One run at a time; a run blocks the thread that calls it. */
export type Session = {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * Runs the model.
   * @param feeds  a tensor for each input, by name; its memory is read in place
   * @param fetches  names of the outputs that are wanted. Default: all that are tensors
   * @throws TidegateError MODEL_RUN_FAILED
   */
  run(feeds: Tensors, fetches?: readonly string[]): Promise<Record<string, Tensor>>;
  /**
   * Runs the model and writes its results over the data of these tensors, whose types and shapes must be those of the results.
   * @throws TidegateError MODEL_RUN_FAILED
   */
  runInto(feeds: Tensors, results: Tensors): Promise<void>;
  release(): Promise<void>;
};

/**
 * Loads a model into onnxruntime.
 *
 * @param model  the bytes of a model, or the path of its file (which may have external data beside it)
 * @throws TidegateError MODEL_UNREADABLE when onnxruntime refuses it
 */
export async function loadSession(model: Uint8Array | string, options: SessionOptions = {}): Promise<Session> {
  const { threads = 1, providers = ["cpu"], logSeverity = 3, optimize = "all", sizes } = options;
  const session = await create(model, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionProviders: providers,
    logSeverityLevel: logSeverity,
    graphOptimizationLevel: optimize,
    // Its threads would wait for the next piece of work in a loop, which costs a small model as much again as its work.
    extra: { session: { intra_op: { allow_spinning: "0" } } },
    ...(sizes ? { freeDimensionOverrides: sizes } : {}),
  });
  const run = async (feeds: Tensors, fetches: readonly string[] | Record<string, OrtTensor>) => {
    const lent = mapValues(feeds, lend);
    try {
      return Array.isArray(fetches) ? await session.run(lent, fetches) : await session.run(lent, fetches);
    } catch (cause) {
      throw new TidegateError("MODEL_RUN_FAILED", { reason: reasonOf(cause) }, { cause });
    }
  };
  const tensors = session.outputMetadata.filter(({ isTensor }) => isTensor).map(({ name }) => name);
  return {
    inputs: session.inputMetadata.map(portOf),
    outputs: session.outputMetadata.map(portOf),
    run: async (feeds, fetches = tensors) => mapValues(await run(feeds, fetches), take),
    runInto: async (feeds, results) => {
      await run(feeds, mapValues(results, lend));
    },
    release: () => session.release(),
  };
}

async function create(model: Uint8Array | string, options: InferenceSession.SessionOptions): Promise<InferenceSession> {
  try {
    return await (typeof model === "string"
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options));
  } catch (cause) {
    const file = typeof model === "string" ? model : "the model";
    throw new TidegateError("MODEL_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  }
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));

function portOf(port: InferenceSession.ValueMetadata): Port {
  if (!port.isTensor) return { name: port.name };
  return { name: port.name, type: port.type as TensorType, shape: port.shape };
}

/** Shows a tensor to onnxruntime, in place. */
function lend({ type, dims, data }: Tensor): OrtTensor {
  const lent = new OrtTensor(type, data as Float32Array, dims);
  // onnxruntime 1.30 turns the bits into a Float16Array, which its native half then reads as empty.
  if (type === "float16") Object.defineProperty(lent, "data", { value: data });
  return lent;
}

/** Takes a result over; its memory is its own. */
function take(value: InferenceSession.OnnxValueMapType[string]): Tensor {
  if (!(value instanceof OrtTensor))
    throw new TidegateError("MODEL_RUN_FAILED", { reason: "a result is not a tensor" });
  const type = value.type as TensorType;
  const { data } = value;
  const bits =
    type === "float16" && ArrayBuffer.isView(data) ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
  return tensor(type, value.dims, bits as never);
}

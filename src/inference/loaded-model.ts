import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { reasonOf, TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, type TensorData, type TensorType, tensor } from "../base/tensor.ts";
import { loadSession, type Provider, type Session, type Tensors } from "../drivers/onnxruntime.ts";
import { type CardInput, contradictions } from "./card-ports.ts";
import { type FrameHead, frameKinds, headBytes, writeHead } from "./framing.ts";
import type { LoadAnswer, LoadRequest } from "./model-protocol.ts";

/** A model inside the model process: its session, and how windows go in and numbers come out. */
export class LoadedModel {
  readonly answer: LoadAnswer;
  readonly #session: Session;
  readonly #request: LoadRequest;
  /** Input that takes the windows; undefined for a model of media or other tensors. */
  readonly #window: CardInput | undefined;
  readonly #constants: Record<string, Tensor>;
  /** Windows of one run: what the model was exported for, or as many as the profile allows. */
  readonly #step: number;
  /** The model takes batches of exactly `#step`. */
  readonly #isFixed: boolean;

  private constructor(session: Session, request: LoadRequest, providers: readonly Provider[], refused: string[]) {
    this.#session = session;
    this.#request = request;
    this.#window = request.inputs.find(({ from }) => from === "window");
    this.#constants = Object.fromEntries(
      request.inputs.filter(({ from }) => from === "constant").map((input) => [input.name, constantOf(input)]),
    );
    const port = session.inputs.find(({ name }) => name === this.#window?.name);
    const batch = port?.shape?.[0];
    this.#isFixed = typeof batch === "number" && batch > 0;
    this.#step = typeof batch === "number" && batch > 0 ? batch : request.maxBatch;
    const { inputs, outputs } = session;
    this.answer = { inputs, outputs, widths: [], providers, refused, warmUpMs: 0 };
  }

  /** @throws TidegateError MODEL_UNREADABLE, MODEL_HASH_MISMATCH, MODEL_CONTRADICTS_CARD, MODEL_RUN_FAILED, MODEL_UNSUPPORTED */
  static async load(request: LoadRequest): Promise<LoadedModel> {
    const state = request.inputs.find(({ from }) => from === "state");
    if (state && request.inputs.some(({ from }) => from === "window")) {
      const reason = `input ${state.name} is fed back from run to run, which windows in batches cannot do`;
      throw new TidegateError("MODEL_UNSUPPORTED", { what: request.name, reason });
    }
    const bytes = await bytesOf(request);
    const refused: string[] = [];
    const { session, providers } = await openSession(bytes, request, refused);
    const faults = contradictions(request, session);
    if (faults.length > 0) {
      await session.release();
      throw new TidegateError("MODEL_CONTRADICTS_CARD", { model: request.name, faults, reason: faults.join("; ") });
    }
    const model = new LoadedModel(session, request, providers, refused);
    try {
      await model.#warmUp();
    } catch (cause) {
      await session.release();
      throw cause;
    }
    return model;
  }

  /** The first runs allocate and choose kernels; they also tell how many numbers each output gives. */
  async #warmUp(): Promise<void> {
    const { dims } = this.#window ?? {};
    if (!dims) return;
    const started = performance.now();
    const width = sizeOf(dims.slice(1).map(Number));
    const count = this.#isFixed ? this.#step : Math.min(2, this.#step);
    const results = await this.#session.run(this.#feeds(count, new Float32Array(count * width)));
    const widths = this.#request.outputs.map(({ name }) => {
      const result = results[name];
      const rows = result?.dims[0] ?? 1;
      if (!result || result.type === "string" || rows !== count) {
        throw new TidegateError("MODEL_CONTRADICTS_CARD", {
          model: this.#request.name,
          reason: `output ${name} does not give numbers for each of ${count} windows, but [${result?.dims.join(", ")}]`,
        });
      }
      return sizeOf(result.dims) / count;
    });
    Object.assign(this.answer, { widths, warmUpMs: performance.now() - started });
  }

  #feeds(count: number, windows: Float32Array): Record<string, Tensor> {
    const input = this.#window;
    if (!input)
      throw new TidegateError("MODEL_UNSUPPORTED", { what: this.#request.name, reason: "no input from: window" });
    const dims = [count, ...input.dims.slice(1).map(Number)];
    return { ...this.#constants, [input.name]: tensor("float32", dims, windows) };
  }

  /**
   * Runs all windows of a batch, in steps. The answer is the frame of all outputs, one after the other, [count * width] each.
   * @param onStep  called after each step: the proof that a long batch gets on
   */
  async run({ count, width, ...head }: FrameHead, windows: Float32Array, onStep: () => void): Promise<Uint8Array> {
    const { widths } = this.answer;
    const bytes = 4 * count * widths.reduce((sum, each) => sum + each, 0);
    const frame = new Uint8Array(headBytes + bytes);
    writeHead(frame, bytes, { ...head, kind: frameKinds.done, count, width });
    const numbers = new Float32Array(frame.buffer, headBytes);
    for (let from = 0; from < count; from += this.#step) {
      const n = Math.min(this.#step, count - from);
      const results = await this.#session.run(this.#stepFeeds(windows, from, n, width));
      let start = 0;
      this.#request.outputs.forEach(({ name }, k) => {
        const each = widths[k] ?? 0;
        copyNumbers(results[name], numbers.subarray(start + from * each, start + (from + n) * each));
        start += count * each;
      });
      onStep();
    }
    return frame;
  }

  /** A model with a fixed batch gets its last step filled up with zeros, whose results are left out. */
  #stepFeeds(windows: Float32Array, from: number, n: number, width: number): Record<string, Tensor> {
    const part = windows.subarray(from * width, (from + n) * width);
    if (n === this.#step || !this.#isFixed) return this.#feeds(n, part);
    const filled = new Float32Array(this.#step * width);
    filled.set(part);
    return this.#feeds(this.#step, filled);
  }

  runTensors(feeds: Tensors): Promise<Record<string, Tensor>> {
    return this.#session.run({ ...this.#constants, ...feeds });
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}

async function bytesOf({ bytes, file, modelHash }: LoadRequest): Promise<Uint8Array> {
  if (bytes) return bytes;
  const read = await readFile(file).catch((cause: unknown) => {
    throw new TidegateError("FILE_UNREADABLE", { file, reason: reasonOf(cause) }, { cause });
  });
  const actual = createHash("sha256").update(read).digest("hex");
  if (actual !== modelHash) throw new TidegateError("MODEL_HASH_MISMATCH", { file, expected: modelHash, actual });
  return read;
}

/** Tries the providers as asked, then the processor alone; why the first was refused goes to `refused`. */
async function openSession(bytes: Uint8Array, { providers, threads }: LoadRequest, refused: string[]) {
  const isPlain = providers.every((provider) => provider === "cpu");
  if (!isPlain) {
    try {
      return { session: await loadSession(bytes, { threads, providers }), providers };
    } catch (thrown) {
      refused.push(`${providers.join(", ")}: ${reasonOf(thrown)}`);
    }
  }
  return { session: await loadSession(bytes, { threads }), providers: ["cpu"] as const };
}

/** Copies a result as float32; labels and flags of other types fit, since they are small whole numbers. */
function copyNumbers(result: Tensor | undefined, into: Float32Array): void {
  if (!result || result.type === "string")
    throw new TidegateError("MODEL_RUN_FAILED", { reason: "an output is missing" });
  const { data } = result;
  if (data instanceof Float32Array) into.set(data.length === into.length ? data : data.subarray(0, into.length));
  else for (let i = 0; i < into.length; i++) into[i] = Number(data[i]);
}

const arrays: { readonly [T in TensorType]?: (values: readonly number[]) => TensorData[T] } = {
  float32: (values) => Float32Array.from(values),
  float64: (values) => Float64Array.from(values),
  int32: (values) => Int32Array.from(values),
  int64: (values) => BigInt64Array.from(values, (value) => BigInt(value)),
  uint8: (values) => Uint8Array.from(values),
  bool: (values) => Uint8Array.from(values),
};

/** The tensor of an input that is fed with every run. @throws TidegateError MODEL_UNSUPPORTED */
export function constantOf({ name, type, dims, value = 0 }: CardInput): Tensor {
  const make = arrays[type];
  if (!make)
    throw new TidegateError("MODEL_UNSUPPORTED", { what: `input ${name}`, reason: `constant of type ${type}` });
  return tensor(type, dims.map(Number), make(typeof value === "number" ? [value] : value) as never);
}

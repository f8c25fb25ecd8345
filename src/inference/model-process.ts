import { writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { getPriority, setPriority } from "node:os";
import { reasonOf, TidegateError } from "../base/errors.ts";
import type { Tensors } from "../drivers/onnxruntime.ts";
import { decodeBody, encodeFrame, type FrameHead, FrameReader, frameKinds } from "./framing.ts";
import { LoadedModel } from "./loaded-model.ts";
import type { LoadRequest, ReadyBody } from "./model-protocol.ts";

// The entry of the model process: the only process that maps onnxruntime's library. It answers frames on file
// descriptor 3, strictly in order, and ends when that socket does.

/** Where the daemon's end of the conversation is. */
const conversationFd = 3;
/** How long runs may stay silent before they report that they are getting on. */
const progressEveryMs = 250;
const readBufferBytes = 1 << 18;

const models = new Map<number, LoadedModel>();
const buffer = new Uint8Array(readBufferBytes);
const reader = new FrameReader(receive);
const socket = new Socket({
  fd: conversationFd,
  onread: {
    buffer,
    callback: (bytes) => {
      reader.push(buffer.subarray(0, bytes));
      return true;
    },
  },
} as ConstructorParameters<typeof Socket>[0] & object);

// One at a time: a session is not re-entrant, and answers leave in the order of the requests.
let last: Promise<void> = Promise.resolve();

function receive(head: FrameHead, body: Uint8Array): void {
  // A run's windows go straight into memory of the run; nothing waits on a buffer that the reader will reuse.
  const work = workOf(head, body);
  last = last.then(work).catch((thrown: unknown) => {
    const error = thrown instanceof TidegateError ? thrown : new TidegateError("BUG", { detail: reasonOf(thrown) });
    socket.write(encodeFrame({ ...head, kind: frameKinds.failed }, error.toJSON()));
  });
}

function workOf(head: FrameHead, body: Uint8Array): () => Promise<void> {
  switch (head.kind) {
    case frameKinds.run: {
      const windows = new Float32Array(head.count * head.width);
      new Uint8Array(windows.buffer).set(body);
      return () => run(head, windows);
    }
    case frameKinds.load: {
      const request = decodeBody(body) as LoadRequest;
      return async () => {
        const model = await LoadedModel.load(request);
        models.set(head.model, model);
        socket.write(encodeFrame({ ...head, kind: frameKinds.value }, model.answer));
      };
    }
    case frameKinds.unload:
      return async () => {
        await models.get(head.model)?.release();
        models.delete(head.model);
        socket.write(encodeFrame({ ...head, kind: frameKinds.value }, null));
      };
    case frameKinds.tensors: {
      const feeds = decodeBody(body) as Tensors;
      return async () => {
        const results = await modelOf(head).runTensors(feeds);
        socket.write(encodeFrame({ ...head, kind: frameKinds.value }, results));
      };
    }
    default:
      throw new TidegateError("BUG", { detail: `frame of kind ${head.kind} to a model process` });
  }
}

async function run(head: FrameHead, windows: Float32Array): Promise<void> {
  let reported = performance.now();
  const frame = await modelOf(head).run(head, windows, () => {
    const now = performance.now();
    if (now - reported < progressEveryMs) return;
    reported = now;
    socket.write(encodeFrame({ ...head, kind: frameKinds.progress }, null));
  });
  socket.write(frame);
}

function modelOf(head: FrameHead): LoadedModel {
  const model = models.get(head.model);
  if (!model) throw new TidegateError("BUG", { detail: `model ${head.model} is not loaded` });
  return model;
}

/** Under memory pressure the kernel takes this process first, and under load it leaves the processor to the daemon. */
function stepBack(niceness: number, oomScore: number): ReadyBody {
  let written: number | null = oomScore;
  try {
    setPriority(niceness);
    writeFileSync("/proc/self/oom_score_adj", String(oomScore));
  } catch {
    written = null;
  }
  return { pid: process.pid, niceness: getPriority(), oomScore: written };
}

const [niceness = "5", oomScore = "500"] = process.argv.slice(2);
socket.on("end", () => process.exit(0));
socket.on("close", () => process.exit(0));
socket.on("error", () => process.exit(0));
// A terminal's Ctrl-C goes to the whole group; the daemon decides when this process ends.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => {});
const noHead = { id: 0, model: 0, count: 0, width: 0 };
socket.write(encodeFrame({ ...noHead, kind: frameKinds.ready }, stepBack(Number(niceness), Number(oomScore))));

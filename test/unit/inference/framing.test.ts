import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodeBody,
  encodeFrame,
  type FrameHead,
  FrameReader,
  frameKinds,
  maxBodyBytes,
  writeHead,
} from "../../../src/inference/framing.ts";

const uint32 = fc.nat(2 ** 32 - 1);
const heads = fc.record({ kind: uint32, id: uint32, model: uint32, count: uint32, width: uint32 });
const frames = fc.array(fc.tuple(heads, fc.uint8Array({ maxLength: 300 })), { maxLength: 12 });

test("frames come out as they went in, however the stream was cut", () => {
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 97 }), { minLength: 1 }), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(([head, body]) => encodeFrame(head, body)));
      const received: [FrameHead, unknown][] = [];
      const reader = new FrameReader((head, body) => received.push([head, decodeBody(body)]));
      for (let at = 0, i = 0; at < stream.length; i++) {
        const end = at + (cuts[i % cuts.length] ?? 1);
        // A piece of memory of its own, spoilt after the call: the reader must not lean on it.
        const chunk = new Uint8Array(stream.subarray(at, end));
        reader.push(chunk);
        chunk.fill(0xee);
        at = end;
      }
      expect(received).toEqual(sent.map(([head, body]) => [head, body]));
    }),
    { numRuns: 60 },
  );
});

test("a decoded body owns its memory, also when it was read from a Buffer", () => {
  const frame = Buffer.from(encodeFrame({ kind: 1, id: 1, model: 1, count: 0, width: 0 }, Float32Array.of(1, 2)));
  let value: unknown;
  new FrameReader((_, body) => {
    value = decodeBody(body);
  }).push(frame);
  frame.fill(0xff);
  expect(value).toEqual(Float32Array.of(1, 2));
});

test("a head that announces more than any frame holds is a fault, not a reason to wait for it", () => {
  const head = new Uint8Array(24);
  writeHead(head, maxBodyBytes + 1, { kind: frameKinds.done, id: 1, model: 1, count: 1, width: 1 });
  expect(() => new FrameReader(() => {}).push(head)).toThrow(expect.objectContaining({ code: "BUG" }));
});

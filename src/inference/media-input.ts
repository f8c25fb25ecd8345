import { z } from "zod";
import { TidegateError } from "../base/errors.ts";
import type { Tensor } from "../base/tensor.ts";
import type { Tensors } from "../drivers/onnxruntime.ts";
import { decodePixels, pixelsVersion } from "../preprocess/pixels.ts";
import { encodeText, textVersion } from "../preprocess/text.ts";
import type { Card } from "./card.ts";

const pixels = z.strictObject({
  pixels: z.literal("gray8"),
  width: z.int().positive().max(4096),
  height: z.int().positive().max(4096),
});

const text = z.discriminatedUnion("encoding", [
  z.strictObject({
    encoding: z.literal("hashed"),
    buckets: z
      .int()
      .positive()
      .max(2 ** 20),
    pairs: z.boolean().default(true),
  }),
  z.strictObject({
    encoding: z.literal("characters"),
    alphabet: z.string().min(2),
    length: z.int().positive().max(65_536),
  }),
]);

type Kind = { readonly version: number; readonly tensorOf: (options: unknown) => (payload: Uint8Array) => Tensor };

/** How payloads of each kind become what a model takes. */
const kinds: Readonly<Record<string, Kind>> = {
  image: {
    version: pixelsVersion,
    tensorOf: (options) => {
      const format = pixels.parse(options);
      return (payload) => decodePixels(payload, format);
    },
  },
  text: {
    version: textVersion,
    tensorOf: (options) => {
      const encoding = text.parse(options);
      return (payload) => encodeText(new TextDecoder("utf-8", { fatal: true }).decode(payload), encoding);
    },
  },
};

/**
 * Prepares what turns a payload into the model's media input, by the card's `preprocess`: one row, with a batch of 1.
 *
 * @throws TidegateError CARD_INVALID when the card asks for preprocessing that this version does not have, or has no
 *   input for it
 */
export function mediaReader(card: Card): (payload: Uint8Array) => Tensors {
  const { preprocess } = card;
  const input = card.inputs.find(({ from }) => from === "media");
  const fault = (reason: string): TidegateError =>
    new TidegateError("CARD_INVALID", { file: `card of ${card.name}`, reason });
  if (!preprocess || !input) throw fault("a payload needs `preprocess` and an input from: media");
  const kind = kinds[preprocess.kind];
  if (!kind) throw fault(`preprocess.kind: ${preprocess.kind} is not there yet`);
  if (kind.version !== preprocess.version)
    throw fault(`preprocess.version: this program has version ${kind.version}, the model wants ${preprocess.version}`);
  let read: (payload: Uint8Array) => Tensor;
  try {
    read = kind.tensorOf(preprocess.options);
  } catch (cause) {
    if (!(cause instanceof z.ZodError)) throw cause;
    throw fault(cause.issues.map(({ path, message }) => `preprocess.options.${path.join(".")}: ${message}`).join("; "));
  }
  return (payload) => {
    const row = read(payload);
    return { [input.name]: { ...row, dims: [1, ...row.dims] } as Tensor };
  };
}

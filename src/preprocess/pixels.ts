import { TidegateError } from "../base/errors.ts";
import { type Tensor, tensor } from "../base/tensor.ts";

/** Version of this code, for `preprocess.version` of a card. */
export const pixelsVersion = 1;

/** An image as a sensor sends it: its pixels, row by row from the top left, without a head. */
export type PixelFormat = {
  /** gray8: one byte a pixel, 0 is black. */
  readonly pixels: "gray8";
  readonly width: number;
  readonly height: number;
};

/**
 * The pixels of an image: uint8 [height, width].
 * @throws TidegateError SHAPE_MISMATCH when the payload has not one byte for each
 */
export function decodePixels(payload: Uint8Array, { width, height }: PixelFormat): Tensor<"uint8"> {
  if (payload.length === width * height) return tensor("uint8", [height, width], new Uint8Array(payload));
  const expected = `${width * height} bytes (${width} by ${height} pixels)`;
  throw new TidegateError("SHAPE_MISMATCH", { what: "image", expected, actual: `${payload.length} bytes` });
}

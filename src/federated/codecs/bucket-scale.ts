import { type BitReader, type BitWriter, malformed } from "../bit-stream.ts";
import type { CodecHeader } from "../codec-header.ts";

const exponentBits = 5;
const digitBits = 7;
const maxDigits = 2 ** digitBits - 1;

const stepAt = (scale: number): number => 2 ** Math.max(0, Math.ceil(Math.log2((scale + 1) / 2 ** digitBits)));

/** The nearest scale from `scale` up that can be written: at most 1/64 above it. */
export const scaleUp = (scale: number): number => Math.ceil(scale / stepAt(scale)) * stepAt(scale);

/** The nearest scale that can be written. */
export const scaleNear = (scale: number): number => Math.round(scale / stepAt(scale)) * stepAt(scale);

/** Writes an integer that `scaleUp` or `scaleNear` gave, in 12 bits: seven digits and how many zeros follow. */
export function writeScale(scale: number, to: BitWriter): void {
  let exponent = 0;
  while (scale / 2 ** exponent > maxDigits) exponent++;
  to.write(exponent, exponentBits);
  to.write(scale / 2 ** exponent, digitBits);
}

/** @throws TidegateError UPDATE_INVALID when it is larger than the round allows */
export function readScale({ clip, scale }: CodecHeader, from: BitReader): number {
  const exponent = from.read(exponentBits);
  const value = from.read(digitBits) * 2 ** exponent;
  if (value > scaleUp(Math.ceil(clip * scale))) throw malformed(`a value is beyond the round's ${clip}`);
  return value;
}

import { seededRandom } from "../../../src/base/random.ts";
import { type CodecHeader, codecHeaderSchema } from "../../../src/federated/codec-header.ts";
import { topK } from "../../../src/federated/top-k.ts";
import { renderSupport, supportHash, type UpdateSpace, updateSpace } from "../../../src/federated/update-space.ts";

export const plainDense: CodecHeader = {
  ...{ codec: "plain", support: "dense", clip: 64, scale: 2 ** 24, bits: 32, modulus: 0, weight: "uniform" },
  ...{ maxWeight: 1, noise: 0 },
};

/** Every codec with every support; those that are not dense keep a coordinate in 50. */
export const headers: readonly CodecHeader[] = (["plain", "quantized", "sign"] as const).flatMap((codec) =>
  (["dense", "listed", "seeded", "explicit"] as const).flatMap((support) =>
    (({ plain: [32], quantized: [8, 4], sign: [1] }) as const)[codec].map((bits) =>
      codecHeaderSchema.parse({ ...plainDense, codec, support, bits }),
    ),
  ),
);

export const nameOf = ({ codec, support, bits }: CodecHeader): string => `${codec} ${bits}, ${support}`;

/** What a training might have changed: most a little, some much. */
export function change(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length }, () => (random() - 0.5) ** 3 * 0.1);
}

export function spaceOf(header: CodecHeader, length: number, share = 0.02): UpdateSpace {
  const keep = Math.ceil(share * length);
  const chosen = renderSupport(topK(change(length, 99), keep));
  const own = header.support === "explicit" ? { indices: supportHash(chosen) } : {};
  const kept = header.support === "dense" ? header : { ...header, keep, ...own };
  return updateSpace({ header: kept, length, base: { hash: "ab".repeat(32), round: 3 }, chosen });
}

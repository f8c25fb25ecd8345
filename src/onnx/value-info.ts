import { create } from "@bufbuild/protobuf";
import type { TensorType } from "../base/tensor.ts";
import { numberOfType, typeOfNumber } from "./element-type.ts";
import { type ValueInfoProto, ValueInfoProtoSchema } from "./onnx_pb.ts";

/** One dimension: a size, a symbol (`batch`), or null when nothing is known. */
export type Dim = number | string | null;

/** A shape; undefined where it is used means that not even the rank is known. */
export type Shape = readonly Dim[];

/** What is known of a value: undefined means unknown. */
export type Knowledge = { readonly type?: TensorType | undefined; readonly shape?: Shape | undefined };

/** True when every dimension is a number. */
export const isStatic = (shape: Shape | undefined): shape is readonly number[] =>
  shape?.every((dim) => typeof dim === "number") ?? false;

/** What a graph declares of a value. Empty symbols and negative sizes, which do occur in files, count as unknown. */
export function knowledgeOf(info: ValueInfoProto): Knowledge {
  if (info.type?.value.case !== "tensorType") return {};
  const { elemType, shape } = info.type.value.value;
  return {
    type: typeOfNumber(elemType),
    shape: shape?.dim.map(({ value }): Dim => {
      if (value.case === "dimParam") return value.value === "" ? null : value.value;
      return value.case === "dimValue" && value.value >= 0n ? Number(value.value) : null;
    }),
  };
}

/** Declares a value. An unknown type is left out: onnxruntime then infers it. */
export function valueInfoOf(name: string, { type, shape }: Knowledge): ValueInfoProto {
  if (type === undefined) return create(ValueInfoProtoSchema, { name });
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: "tensorType",
        value: {
          elemType: numberOfType(type),
          ...(shape === undefined ? {} : { shape: { dim: shape.map(dimensionOf) } }),
        },
      },
    },
  });
}

function dimensionOf(dim: Dim) {
  if (dim === null) return {};
  if (typeof dim === "string") return { value: { case: "dimParam" as const, value: dim } };
  return { value: { case: "dimValue" as const, value: BigInt(dim) } };
}

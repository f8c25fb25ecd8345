import { create, isMessage } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import type { Tensor } from "../base/tensor.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type NodeProto,
} from "./onnx_pb.ts";
import { protoOf, tensorOf } from "./tensor-proto.ts";

/** A plain attribute value. Integers that fit are numbers. */
export type AttributeValue =
  | number
  | bigint
  | string
  | boolean
  | Tensor
  | GraphProto
  | readonly number[]
  | readonly bigint[]
  | readonly string[];

/** What may be given for an attribute: a plain value, or a message that is taken as it is. */
export type AttributeInput = AttributeValue | AttributeProto;

/** AttributeProto.AttributeType. */
const kinds = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8 } as const;

/**
 * JavaScript has one kind of number, ONNX two: these attributes of the standard operators are floats, all others are
 * integers when their values are. (A message as value says it for an operator of another domain.)
 */
const floatAttributes = new Set(
  (
    "activation_alpha activation_beta alpha beta bias clip cubic_coeff_a epsilon extrapolation_value gamma high lambd low " +
    "max mean min momentum norm_coefficient ratio sample_rate scale scales score_threshold seed softcap spatial_scale " +
    "threshold value_float value_floats"
  ).split(" "),
);

/** Writes an attribute. */
export function attributeOf(name: string, value: AttributeInput): AttributeProto {
  if (isMessage(value, AttributeProtoSchema)) return value;
  return create(AttributeProtoSchema, { name, ...fieldsOf(name, value) });
}

function fieldsOf(name: string, value: AttributeValue): Partial<Omit<AttributeProto, "$typeName" | "$unknown">> {
  if (isMessage(value, GraphProtoSchema)) return { type: kinds.graph, g: value };
  if (typeof value === "boolean") return { type: kinds.int, i: value ? 1n : 0n };
  if (typeof value === "string") return { type: kinds.string, s: new TextEncoder().encode(value) };
  if (typeof value === "bigint") return { type: kinds.int, i: value };
  if (typeof value === "number") {
    return isFloat(name, value) ? { type: kinds.float, f: value } : { type: kinds.int, i: BigInt(value) };
  }
  if (!Array.isArray(value)) return { type: kinds.tensor, t: protoOf(value as Tensor) };
  const list = value as readonly (number | bigint | string)[];
  if (list.length > 0 && list.every((entry) => typeof entry === "string")) {
    return { type: kinds.strings, strings: list.map((text) => new TextEncoder().encode(text)) };
  }
  if (
    list.some((entry) => typeof entry === "number" && isFloat(name, entry)) ||
    (floatAttributes.has(name) && list.length === 0)
  ) {
    return { type: kinds.floats, floats: list.map(Number) };
  }
  return { type: kinds.ints, ints: list.map(BigInt) };
}

const isFloat = (name: string, value: number): boolean => floatAttributes.has(name) || !Number.isInteger(value);

/** The plain value of an attribute, or undefined for the kinds that have none (sparse tensors, types, lists of graphs). */
export function plainValue(attribute: AttributeProto): AttributeValue | undefined {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  switch (kindOf(attribute)) {
    case kinds.float:
      return attribute.f;
    case kinds.int:
      return integer(attribute.i);
    case kinds.string:
      return text(attribute.s);
    case kinds.tensor:
      return attribute.t && tensorOf(attribute.t);
    case kinds.graph:
      return attribute.g;
    case kinds.floats:
      return attribute.floats;
    case kinds.ints:
      return attribute.ints.map(Number);
    case kinds.strings:
      return attribute.strings.map(text);
    default:
      return undefined;
  }
}

/** Files of IR version 1 carry no type: the field that is set tells. */
function kindOf(attribute: AttributeProto): number {
  if (attribute.type !== 0) return attribute.type;
  if (attribute.t) return kinds.tensor;
  if (attribute.g) return kinds.graph;
  if (attribute.floats.length > 0) return kinds.floats;
  if (attribute.ints.length > 0) return kinds.ints;
  if (attribute.strings.length > 0) return kinds.strings;
  if (Object.hasOwn(attribute, "f")) return kinds.float;
  if (Object.hasOwn(attribute, "s")) return kinds.string;
  return kinds.int;
}

const integer = (value: bigint): number | bigint => (BigInt.asIntN(53, value) === value ? Number(value) : value);

/** All attributes of a node by name, as plain values. */
export function attributesOf(node: NodeProto): Record<string, AttributeValue> {
  const values: Record<string, AttributeValue> = {};
  for (const attribute of node.attribute) {
    const value = plainValue(attribute);
    if (value !== undefined) values[attribute.name] = value;
  }
  return values;
}

const lookUp = (node: NodeProto, name: string): AttributeValue | undefined => {
  const attribute = node.attribute.find((candidate) => candidate.name === name);
  return attribute && plainValue(attribute);
};

const wrongKind = (node: NodeProto, name: string, expected: string): TidegateError =>
  new TidegateError("MODEL_UNREADABLE", {
    file: `node ${JSON.stringify(node.name || node.output[0] || "")}`,
    reason: `attribute ${name} of ${node.opType} is not ${expected}`,
  });

/**
 * Reads a number attribute, with the operator's default.
 * @throws TidegateError MODEL_UNREADABLE when it is of another kind (also the three below)
 */
export function numberAttribute<D extends number | undefined>(node: NodeProto, name: string, fallback: D): number | D {
  const value = lookUp(node, name);
  if (value === undefined) return fallback;
  if (typeof value !== "number" && typeof value !== "bigint") throw wrongKind(node, name, "a number");
  return Number(value);
}

/** Reads an attribute that is a list of numbers. */
export function numbersAttribute<D extends readonly number[] | undefined>(
  node: NodeProto,
  name: string,
  fallback: D,
): readonly number[] | D {
  const value = lookUp(node, name);
  if (value === undefined) return fallback;
  if (!Array.isArray(value) || value.some((entry) => typeof entry === "string"))
    throw wrongKind(node, name, "a list of numbers");
  return value.map(Number);
}

/** Reads a text attribute. */
export function textAttribute<D extends string | undefined>(node: NodeProto, name: string, fallback: D): string | D {
  const value = lookUp(node, name);
  if (value === undefined) return fallback;
  if (typeof value !== "string") throw wrongKind(node, name, "a text");
  return value;
}

/** The subgraphs of a node, with the attribute that holds each. */
export function subgraphsOf(node: NodeProto): { name: string; graph: GraphProto }[] {
  return node.attribute.flatMap(({ name, g, graphs }) => [
    ...(g ? [{ name, graph: g }] : []),
    ...graphs.map((graph) => ({ name, graph })),
  ]);
}

/** Sets, replaces or (with undefined) removes an attribute in place. */
export function setAttribute(node: NodeProto, name: string, value: AttributeInput | undefined): void {
  node.attribute = node.attribute.filter((attribute) => attribute.name !== name);
  if (value !== undefined) node.attribute.push(attributeOf(name, value));
}

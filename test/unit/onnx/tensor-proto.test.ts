import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type Tensor, type TensorType, tensor } from "../../../src/base/tensor.ts";
import { numberOfType } from "../../../src/onnx/element-type.ts";
import { type TensorProto, TensorProtoSchema } from "../../../src/onnx/onnx_pb.ts";
import { float16Bits, float16Value, protoOf, scalar, tensorOf } from "../../../src/onnx/tensor-proto.ts";

const samples: { [T in TensorType]: Tensor<T> } = {
  float32: tensor("float32", [2], Float32Array.of(1.5, -2)),
  float64: tensor("float64", [2], Float64Array.of(1.5, Math.PI)),
  float16: tensor("float16", [2], Uint16Array.of(0x3e00, 0xc000)),
  int8: tensor("int8", [2], Int8Array.of(1, -2)),
  int16: tensor("int16", [2], Int16Array.of(1, -2)),
  int32: tensor("int32", [2], Int32Array.of(1, -2)),
  int64: tensor("int64", [2], BigInt64Array.of(1n, -(2n ** 62n))),
  uint8: tensor("uint8", [2], Uint8Array.of(1, 255)),
  uint16: tensor("uint16", [2], Uint16Array.of(1, 65535)),
  uint32: tensor("uint32", [2], Uint32Array.of(1, 2 ** 32 - 1)),
  uint64: tensor("uint64", [2], BigUint64Array.of(1n, 2n ** 63n)),
  bool: tensor("bool", [2], Uint8Array.of(1, 0)),
  string: tensor("string", [2], ["tide", "gäte"]),
};

test.each(Object.values(samples))("a $type tensor survives a file, wherever in it the bytes lie", (value) => {
  const bytes = toBinary(TensorProtoSchema, protoOf(value, "w"));
  for (const shift of [0, 1, 2, 3]) {
    // A Buffer, as files are read: its `slice` does not copy.
    const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
    expect(tensorOf(fromBinary(TensorProtoSchema, moved))).toEqual(value);
  }
});

const typed: [TensorType, Partial<TensorProto>][] = [
  ["float32", { floatData: [1.5, -2] }],
  ["float64", { doubleData: [1.5, Math.PI] }],
  ["float16", { int32Data: [0x3e00, 0xc000] }],
  ["int8", { int32Data: [1, -2] }],
  ["int16", { int32Data: [1, -2] }],
  ["int32", { int32Data: [1, -2] }],
  ["int64", { int64Data: [1n, -(2n ** 62n)] }],
  ["uint8", { int32Data: [1, 255] }],
  ["uint16", { int32Data: [1, 65535] }],
  ["uint32", { uint64Data: [1n, 2n ** 32n - 1n] }],
  ["uint64", { uint64Data: [1n, 2n ** 63n] }],
  ["bool", { int32Data: [1, 0] }],
];

test.each(typed)("a %s tensor is read from the typed field as well", (type, fields) => {
  const proto = create(TensorProtoSchema, { dims: [2n], dataType: numberOfType(type) });
  expect(tensorOf(Object.assign(proto, fields))).toEqual(samples[type]);
});

test("data that do not fill the shape, end within a value or have an unknown type are refused", () => {
  const short = create(TensorProtoSchema, { dims: [3n], dataType: 1, floatData: [1] });
  const torn = create(TensorProtoSchema, { dims: [1n], dataType: 1, rawData: new Uint8Array(3) });
  const huge = create(TensorProtoSchema, { dims: [2n ** 62n], dataType: 1 });
  const elsewhere = create(TensorProtoSchema, { dims: [1n], dataType: 1, dataLocation: 1 });
  for (const proto of [short, torn, huge, elsewhere]) {
    expect(() => tensorOf(proto)).toThrow(expect.objectContaining({ code: "MODEL_UNREADABLE" }));
  }
  const bfloat16 = create(TensorProtoSchema, { dims: [1n], dataType: 16, rawData: new Uint8Array(2) });
  expect(() => tensorOf(bfloat16)).toThrow(expect.objectContaining({ code: "MODEL_UNSUPPORTED" }));
});

test("every float16 is told from its number and back", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = float16Value(bits);
    if (Number.isNaN(value)) continue;
    expect(float16Bits(value)).toBe(bits);
  }
});

test("numbers between two float16 round to the nearest, halves to the even one", () => {
  expect(float16Bits(1 + 2 ** -11)).toBe(0x3c00);
  expect(float16Bits(1 + 3 * 2 ** -11)).toBe(0x3c02);
  expect(float16Bits(2047.9)).toBe(float16Bits(2048));
  expect(float16Bits(65519)).toBe(0x7bff);
  expect(float16Bits(65520)).toBe(0x7c00);
  expect(float16Bits(2 ** -25)).toBe(0);
  expect(float16Bits(1.1 * 2 ** -25)).toBe(1);
});

test("scalars are made in every type", () => {
  expect(scalar("int64", 3)).toEqual(tensor("int64", [], BigInt64Array.of(3n)));
  expect(scalar("float16", 1.5)).toEqual(tensor("float16", [], Uint16Array.of(0x3e00)));
  expect(scalar("uint8", 7)).toEqual(tensor("uint8", [], Uint8Array.of(7)));
});

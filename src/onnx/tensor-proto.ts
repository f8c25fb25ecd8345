import { create } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import { sizeOf, type Tensor, type TensorData, type TensorType, tensor } from "../base/tensor.ts";
import { bytesOfType, numberOfType, requireType } from "./element-type.ts";
import { type TensorProto, TensorProtoSchema } from "./onnx_pb.ts";

type Numeric = Exclude<TensorType, "string">;

/** How each type is viewed over raw bytes (little-endian, as in the file), and taken from the typed field it may use instead. */
const layouts: {
  [T in Numeric]: {
    view: (buffer: ArrayBufferLike, offset: number, length: number) => TensorData[T];
    field: (proto: TensorProto) => TensorData[T];
  };
} = {
  float32: { view: (b, o, n) => new Float32Array(b, o, n), field: (p) => Float32Array.from(p.floatData) },
  float64: { view: (b, o, n) => new Float64Array(b, o, n), field: (p) => Float64Array.from(p.doubleData) },
  float16: { view: (b, o, n) => new Uint16Array(b, o, n), field: (p) => Uint16Array.from(p.int32Data) },
  int8: { view: (b, o, n) => new Int8Array(b, o, n), field: (p) => Int8Array.from(p.int32Data) },
  int16: { view: (b, o, n) => new Int16Array(b, o, n), field: (p) => Int16Array.from(p.int32Data) },
  int32: { view: (b, o, n) => new Int32Array(b, o, n), field: (p) => Int32Array.from(p.int32Data) },
  int64: { view: (b, o, n) => new BigInt64Array(b, o, n), field: (p) => BigInt64Array.from(p.int64Data) },
  uint8: { view: (b, o, n) => new Uint8Array(b, o, n), field: (p) => Uint8Array.from(p.int32Data) },
  uint16: { view: (b, o, n) => new Uint16Array(b, o, n), field: (p) => Uint16Array.from(p.int32Data) },
  uint32: { view: (b, o, n) => new Uint32Array(b, o, n), field: (p) => Uint32Array.from(p.uint64Data, Number) },
  uint64: { view: (b, o, n) => new BigUint64Array(b, o, n), field: (p) => BigUint64Array.from(p.uint64Data) },
  bool: { view: (b, o, n) => new Uint8Array(b, o, n), field: (p) => Uint8Array.from(p.int32Data) },
};

/** Dimensions as numbers. */
export const dimsOf = (proto: TensorProto): number[] => proto.dims.map(Number);

/**
 * Reads a tensor out of a message. The data may share memory with the message: treat them as read-only.
 *
 * @param proto  a tensor whose data is in the message (`readModel` has put external data there)
 * @throws TidegateError MODEL_UNSUPPORTED for element types that Tidegate does not compute with,
 *   MODEL_UNREADABLE when the data do not fill the shape or lie in another file
 */
export function tensorOf(proto: TensorProto): Tensor {
  const what = `tensor ${JSON.stringify(proto.name)}`;
  const type = requireType(proto.dataType, what);
  const dims = dimsOf(proto);
  if (proto.dataLocation === 1) throw unreadable(what, "its data lie in another file");
  const data = type === "string" ? stringsOf(proto) : numbersOf(proto, type, sizeOf(dims));
  if (data.length !== sizeOf(dims)) {
    throw unreadable(what, `${data.length} values for the shape [${dims.join(", ")}]`);
  }
  return tensor(type, dims, data as never);
}

function numbersOf<T extends Numeric>(proto: TensorProto, type: T, length: number): TensorData[T] {
  const layout = layouts[type];
  const raw = proto.rawData;
  // An empty raw field beside a filled typed field does occur; the data win.
  if (raw.length === 0 && length > 0) return layout.field(proto);
  const width = bytesOfType(type);
  if (raw.length % width !== 0) throw unreadable(`tensor ${JSON.stringify(proto.name)}`, "its data end within a value");
  // Not `slice`: that of a Buffer copies nothing.
  const aligned = raw.byteOffset % width === 0 ? raw : new Uint8Array(raw);
  return layout.view(aligned.buffer, aligned.byteOffset, raw.length / width);
}

const stringsOf = (proto: TensorProto): string[] => proto.stringData.map((bytes) => new TextDecoder().decode(bytes));

const unreadable = (what: string, reason: string): TidegateError =>
  new TidegateError("MODEL_UNREADABLE", { file: what, reason });

/**
 * Writes a tensor as a message, as raw little-endian bytes (strings as UTF-8). The message shares the tensor's memory.
 * @param name  name of the initializer; empty for an attribute
 */
export function protoOf(value: Tensor, name = ""): TensorProto {
  const proto = create(TensorProtoSchema, {
    dims: value.dims.map(BigInt),
    dataType: numberOfType(value.type),
    ...(name === "" ? {} : { name }),
  });
  if (value.type === "string") proto.stringData = value.data.map((text) => new TextEncoder().encode(text));
  else proto.rawData = new Uint8Array(value.data.buffer as ArrayBuffer, value.data.byteOffset, value.data.byteLength);
  return proto;
}

/** An int64 vector, the form of every axes, shape and index input. */
export const int64s = (values: readonly (number | bigint)[]): Tensor<"int64"> =>
  tensor("int64", [values.length], BigInt64Array.from(values, BigInt));

/** A scalar of any numeric type; float16 is given as a number and rounded. */
export function scalar(type: Numeric, value: number): Tensor {
  switch (type) {
    case "int64":
      return tensor(type, [], BigInt64Array.of(BigInt(value)));
    case "uint64":
      return tensor(type, [], BigUint64Array.of(BigInt(value)));
    case "float16":
      return tensor(type, [], Uint16Array.of(float16Bits(value)));
    case "bool":
      return tensor(type, [], Uint8Array.of(value === 0 ? 0 : 1));
    default: {
      const { view } = layouts[type];
      const data = view(new ArrayBuffer(bytesOfType(type)), 0, 1);
      (data as Float32Array)[0] = value;
      return tensor(type, [], data as never);
    }
  }
}

/** The bits of the float16 nearest to a number (ties to even); too large becomes infinity. */
export function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  // Rounding up to the next power of two carries into the exponent by itself.
  return sign | (((exponent + 15) << 10) + roundToEven(size * 2 ** (10 - exponent)) - 1024);
}

function roundToEven(value: number): number {
  const low = Math.floor(value);
  const rest = value - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/** The number that float16 bits stand for. */
export function float16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Sees a whole buffer as values of a type. */
export const viewOf = <T extends Numeric>(type: T, buffer: ArrayBuffer): TensorData[T] =>
  layouts[type].view(buffer, 0, buffer.byteLength / bytesOfType(type));

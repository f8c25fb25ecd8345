import { create } from "@bufbuild/protobuf";
import { TidegateError } from "../base/errors.ts";
import type { Tensor, TensorType } from "../base/tensor.ts";
import { type AttributeInput, attributeOf, subgraphsOf } from "./attribute.ts";
import { typeOfNumber } from "./element-type.ts";
import { inferOutputs } from "./infer.ts";
import { NameTable } from "./name-table.ts";
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
} from "./onnx_pb.ts";
import { dimsOf, int64s, protoOf, scalar, tensorOf } from "./tensor-proto.ts";
import { type Knowledge, knowledgeOf, type Shape, valueInfoOf } from "./value-info.ts";

/** A value of a graph: its name, and what is known of it (undefined: unknown). Only a writer makes values. */
export class Value {
  readonly graph: GraphWriter;
  name: string;
  type: TensorType | undefined;
  shape: Shape | undefined;

  constructor(graph: GraphWriter, name: string, { type, shape }: Knowledge) {
    this.graph = graph;
    this.name = name;
    this.type = type;
    this.shape = shape;
  }

  /** Number of dimensions, when known. */
  get rank(): number | undefined {
    return this.shape?.length;
  }
}

/**
 * What an operator takes: a value, a tensor (becomes a constant), a list of integers (an int64 vector: axes, shapes),
 * a number (a scalar of the type of the first value beside it, else float32), or null for an input that is left out.
 */
export type Operand = Value | Tensor | number | readonly number[] | null;

export type Attributes = Readonly<Record<string, AttributeInput | undefined>>;

export type OpOptions = {
  /** Wanted name of the first output; made unique. Default: the operator's name, in lower case. */
  readonly name?: string;
  /** Default: the standard operators. Another domain is imported at version 1. */
  readonly domain?: string;
};

export type NewModel = { readonly opset?: number; readonly irVersion?: number; readonly name?: string };

/** The model to write into, or the writer whose subgraph this one is. */
export type Place = { readonly model: ModelProto } | { readonly parent: GraphWriter; readonly graph: GraphProto };

const bug = (detail: string): TidegateError => new TidegateError("BUG", { detail });

/**
 * Appends nodes to a graph: names, values, constants, any operator. `GraphBuilder` adds the operators by name.
 *
 * The order of the calls is the order of the nodes, and so a valid order of execution. A value of an outer graph may be
 * used in a subgraph; the reverse is refused (BUG).
 */
export class GraphWriter {
  /** The whole model; valid after every call. */
  readonly model: ModelProto;
  /** The graph that this writer appends to: the model's, or a subgraph. */
  readonly graph: GraphProto;
  readonly #parent: GraphWriter | undefined;
  readonly #names: NameTable;
  readonly #values = new Map<string, Value>();
  readonly #constants = new Map<string, Value>();
  /** Node outputs whose names were made up here: `output` may rename them. With the node that makes each. */
  readonly #renamable = new Map<Value, NodeProto>();
  readonly #children: GraphWriter[] = [];

  constructor(place: NewModel | Place = {}) {
    if ("parent" in place) {
      this.model = place.parent.model;
      this.graph = place.graph;
      this.#parent = place.parent;
      this.#names = place.parent.#names;
      place.parent.#children.push(this);
      this.#adopt();
      return;
    }
    this.model = "model" in place ? place.model : emptyModel(place);
    this.graph = this.model.graph ??= create(GraphProtoSchema, { name: "graph" });
    this.#names = new NameTable(this.graph);
    this.#adopt();
  }

  /** Takes over what an existing graph declares of its values. */
  #adopt(): void {
    const { input, output, valueInfo, initializer } = this.graph;
    for (const proto of initializer)
      this.#add(proto.name, { type: typeOfNumber(proto.dataType), shape: dimsOf(proto) });
    for (const info of [...valueInfo, ...output, ...input]) this.#add(info.name, knowledgeOf(info));
  }

  #add(name: string, knowledge: Knowledge): Value {
    const known = this.#values.get(name);
    if (known) return this.know(known, { type: known.type ?? knowledge.type, shape: known.shape ?? knowledge.shape });
    const value = new Value(this, name, knowledge);
    this.#values.set(name, value);
    return value;
  }

  get #root(): GraphWriter {
    return this.#parent ? this.#parent.#root : this;
  }

  /**
   * The handle of a value that the graph (or one around it) has, by name.
   * @throws TidegateError BUG when there is none
   */
  value(name: string): Value {
    for (let graph: GraphWriter | undefined = this; graph; graph = graph.#parent) {
      const value = graph.#values.get(name);
      if (value) return value;
    }
    if (!this.#names.has(name)) throw bug(`the graph has no value ${JSON.stringify(name)}`);
    return this.#root.#add(name, {});
  }

  /** The tensor behind a name when it is fixed: an initializer that is no input, or a Constant's value. */
  stored(name: string): Tensor | undefined {
    for (let own: GraphWriter | undefined = this; own; own = own.#parent) {
      const { input, initializer, node } = own.graph;
      const weight = initializer.find((proto) => proto.name === name);
      if (weight) return input.some((info) => info.name === name) ? undefined : tensorOf(weight);
      const maker = node.find(({ output }) => output.includes(name));
      const value =
        maker?.opType === "Constant" ? maker.attribute.find((attribute) => attribute.name === "value") : undefined;
      if (maker) return value?.t && tensorOf(value.t);
    }
    return undefined;
  }

  /** Adds to what is known of a value (learnt by running the model, or by an operator's definition); returns it. */
  know(value: Value, { type, shape }: Knowledge): Value {
    if (type !== undefined) value.type = type;
    if (shape !== undefined) value.shape = shape;
    return value;
  }

  /** Declares an input under exactly this name. Without a shape not even the rank is fixed. */
  input(name: string, type: TensorType, shape?: Shape): Value {
    this.#names.claim(name);
    this.graph.input.push(valueInfoOf(name, { type, shape }));
    return this.#add(name, { type, shape });
  }

  /** Stores a tensor under exactly this name: a weight. What needs no name of its own is a `constant`. */
  initializer(name: string, value: Tensor): Value {
    this.#names.claim(name);
    this.graph.initializer.push(protoOf(value, name));
    return this.#add(name, { type: value.type, shape: value.dims });
  }

  /** A constant. Equal small ones are stored once, in the outermost graph, where every subgraph sees them. */
  constant(value: Tensor, name?: string): Value {
    const root = this.#root;
    const key = value.data.length <= 256 ? keyOf(value) : undefined;
    const existing = key === undefined ? undefined : root.#constants.get(key);
    if (existing) return existing;
    const made = root.initializer(this.#names.unused(name ?? constantName(value)), value);
    if (key !== undefined) root.#constants.set(key, made);
    return made;
  }

  /** This name or one like it that is free in the model: for inputs and outputs whose names are made up. */
  unusedName(wanted: string): string {
    return this.#names.unused(wanted);
  }

  /** Takes this name or one like it: for values of a subgraph that is written by hand. */
  freshName(wanted: string): string {
    return this.#names.fresh(wanted);
  }

  /**
   * Appends a node with one output.
   * @param inputs  in the operator's order; see `Operand`
   * @param attributes  plain values; undefined is left out
   */
  op(opType: string, inputs: readonly Operand[], attributes: Attributes = {}, options: OpOptions = {}): Value {
    const [first] = this.ops(opType, 1, inputs, attributes, options);
    if (!first) throw bug(`${opType} without an output`);
    return first;
  }

  /** Appends a node with several outputs; a count, or a wanted name for each ("" leaves that output out). */
  ops(
    opType: string,
    outputs: number | readonly string[],
    inputs: readonly Operand[],
    attributes: Attributes = {},
    { name = opType.toLowerCase(), domain = "" }: OpOptions = {},
  ): Value[] {
    const operands = this.#operands(opType, inputs);
    const given = Object.entries(attributes).filter(
      (entry): entry is [string, AttributeInput] => entry[1] !== undefined,
    );
    const wanted = typeof outputs === "number" ? Array.from({ length: outputs }, () => name) : outputs;
    const names = wanted.map((name) => (name === "" ? "" : this.#names.fresh(name)));
    if (domain !== "") this.#import(domain);
    const node = create(NodeProtoSchema, {
      name: this.#names.forNode(names.find((name) => name !== "") ?? opType.toLowerCase()),
      opType,
      input: operands.map((value) => value?.name ?? ""),
      output: names,
      attribute: given.map(([name, value]) => attributeOf(name, value)),
      ...(domain === "" ? {} : { domain }),
    });
    this.graph.node.push(node);
    const nothing: Knowledge = {};
    const known =
      domain === ""
        ? inferOutputs(
            opType,
            operands.map((value) => value ?? nothing),
            Object.fromEntries(given),
            names.length,
          )
        : [];
    return names.map((name, index) => {
      const value = new Value(this, name, known[index] ?? nothing);
      if (name !== "") {
        this.#values.set(name, value);
        this.#renamable.set(value, node);
      }
      return value;
    });
  }

  /** Two operands as values, a number in the type of the other. */
  alike(a: Operand, b: Operand): [Value, Value] {
    const [first, second] = this.#operands("a pair", [a, b]);
    if (!first || !second) throw bug("a pair lacks an operand");
    return [first, second];
  }

  #operands(opType: string, inputs: readonly Operand[]): (Value | undefined)[] {
    const typed = inputs.find((input) => input instanceof Value)?.type ?? "float32";
    const type = typed === "string" ? "float32" : typed;
    const values = inputs.map((input, index) => {
      if (input === null) return undefined;
      if (typeof input === "number") return this.constant(scalar(type, input));
      if (input instanceof Value) return this.#checked(input, opType, index);
      return this.constant(isList(input) ? int64s(input) : input);
    });
    // Trailing inputs that are left out are not written at all, but for the two that a Loop must have.
    const least = opType === "Loop" ? 2 : 0;
    return values.slice(0, Math.max(least, values.findLastIndex((value) => value !== undefined) + 1));
  }

  #checked(input: Value, opType: string, index: number): Value {
    if (input.name === "") throw bug(`${opType} takes as input ${index} an output that was left out`);
    if (!this.#sees(input.graph))
      throw bug(`${opType} takes ${JSON.stringify(input.name)}, which belongs to another graph`);
    return input;
  }

  #sees(graph: GraphWriter): boolean {
    for (let own: GraphWriter | undefined = this; own; own = own.#parent) if (own === graph) return true;
    return false;
  }

  #import(domain: string): void {
    if (this.model.opsetImport.some((entry) => entry.domain === domain)) return;
    this.model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version: 1n }));
  }

  /**
   * Declares a value as an output of the graph, under exactly this name, and returns the value that has it. A name that
   * was made up is changed to it; any other value (an input, a weight, an output already) passes through an Identity.
   */
  output(name: string, value: Value): Value {
    const result = this.#named(name, value);
    this.#renamable.delete(result);
    this.graph.output.push(valueInfoOf(name, result));
    return result;
  }

  /** Declares a value as the next output under a name of its own: for bodies, whose outputs count by place. */
  yields(value: Value): Value {
    return this.output(this.#renamable.has(value) ? value.name : this.unusedName(`${value.name}_result`), value);
  }

  #named(name: string, value: Value): Value {
    const node = this.#renamable.get(value);
    if (node && value.name === name) return value;
    if (node) {
      this.#names.claim(name);
      this.#rename(value, name);
      return value;
    }
    const own = this.graph.node.some(({ output }) => output.includes(name));
    const declared = this.graph.output.some((output) => output.name === name);
    if (value.name === name && own && !declared) return value;
    const copy = this.op("Identity", [value]);
    this.#names.claim(name);
    this.#rename(copy, name);
    return copy;
  }

  #rename(value: Value, name: string): void {
    const old = value.name;
    const swap = (names: string[]): string[] => names.map((entry) => (entry === old ? name : entry));
    const walk = (graph: GraphProto): void => {
      for (const node of graph.node) {
        if (node.input.includes(old)) node.input = swap(node.input);
        if (node.output.includes(old)) node.output = swap(node.output);
        for (const { graph: inner } of subgraphsOf(node)) walk(inner);
      }
    };
    walk(this.graph);
    const maker = this.#renamable.get(value);
    if (maker?.name === old) maker.name = this.#names.forNode(name);
    // Subgraphs that are still being written hang on no node yet.
    for (const child of this.#children) child.#renameIn(walk);
    this.#values.delete(old);
    this.#values.set(name, value);
    value.name = name;
  }

  #renameIn(walk: (graph: GraphProto) => void): void {
    walk(this.graph);
    for (const child of this.#children) child.#renameIn(walk);
  }
}

function emptyModel({ opset = 21, irVersion = 10, name = "graph" }: NewModel): ModelProto {
  return create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: "tidegate",
    graph: { name },
    opsetImport: [{ domain: "", version: BigInt(opset) }],
  });
}

const isList = (input: Tensor | readonly number[]): input is readonly number[] => Array.isArray(input);

/** Tells -0 from 0 and one NaN from no other: equal keys mean equal bytes for all that a graph can tell apart. */
const keyOf = ({ type, dims, data }: Tensor): string =>
  `${type}[${dims}]${Array.from<unknown>(data).map((value) => (Object.is(value, -0) ? "-0" : JSON.stringify(String(value))))}`;

/** `2.5`, `axes_0_1`: small constants are readable in a graph viewer. */
function constantName({ type, dims, data }: Tensor): string {
  const text = data.length > 0 && data.length <= 4 ? Array.from<unknown>(data).map(String).join("_") : "";
  return text !== "" && text.length <= 24 && type !== "string"
    ? `const_${text}`
    : `const_${type}_${dims.join("x") || "scalar"}`;
}

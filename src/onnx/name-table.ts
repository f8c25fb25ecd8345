import { TidegateError } from "../base/errors.ts";
import { subgraphsOf } from "./attribute.ts";
import type { GraphProto } from "./onnx_pb.ts";

/** The names taken in a model. One table serves the graph and all its subgraphs, so that none hides another. */
export class NameTable {
  readonly #taken = new Set<string>([""]);
  readonly #nodes = new Set<string>();
  readonly #next = new Map<string, number>();

  constructor(graph: GraphProto) {
    this.#collect(graph);
  }

  #collect(graph: GraphProto): void {
    for (const { name } of [...graph.input, ...graph.initializer]) this.#taken.add(name);
    for (const sparse of graph.sparseInitializer) this.#taken.add(sparse.values?.name ?? "");
    for (const node of graph.node) {
      this.#nodes.add(node.name);
      for (const name of [...node.input, ...node.output]) this.#taken.add(name);
      for (const { graph: inner } of subgraphsOf(node)) this.#collect(inner);
    }
  }

  has(name: string): boolean {
    return name !== "" && this.#taken.has(name);
  }

  /**
   * Takes exactly this name.
   * @throws TidegateError BUG when it is taken
   */
  claim(name: string): void {
    if (this.#taken.has(name)) {
      throw new TidegateError("BUG", { detail: `the graph already has a value ${JSON.stringify(name)}` });
    }
    this.#taken.add(name);
  }

  /** This name, or the first of `name_1`, `name_2`, … that is free; not taken yet. */
  unused(name: string): string {
    let candidate = name;
    let next = this.#next.get(name) ?? 1;
    while (this.#taken.has(candidate)) {
      candidate = `${name}_${next}`;
      next += 1;
    }
    // The last number tried may still be free: it is tried again.
    this.#next.set(name, Math.max(1, next - 1));
    return candidate;
  }

  /** Takes this name or one like it. */
  fresh(name: string): string {
    const free = this.unused(name);
    this.#taken.add(free);
    return free;
  }

  /** Names a node after a value. Names of nodes are a space of their own, and onnxruntime wants them unique too. */
  forNode(value: string): string {
    let candidate = value;
    for (let n = 1; this.#nodes.has(candidate); n++) candidate = `${value}_node_${n}`;
    this.#nodes.add(candidate);
    return candidate;
  }
}

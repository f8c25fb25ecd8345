import type { TensorType } from "../base/tensor.ts";
import type { LossSpec } from "./losses.ts";
import type { OptimizerSpec } from "./optimizers.ts";

/** How the rows of a data tensor make what the model takes. An example is named by the number of its first row. */
export type Rows = {
  /** Name of the input of the training graph that holds the rows: [rows, …dims]. Several may share one. */
  readonly data: string;
  /** Element type of the data; cast to what the model takes. */
  readonly type: TensorType;
  /** Shape of one row. */
  readonly dims: readonly number[];
  /** Rows of an example, along a new axis behind the batch. Absent: one row, without that axis. */
  readonly span?: number;
  /** From the example's row to its first. Default 0. A target that lies ahead has one. */
  readonly offset?: number;
};

/** What is trained on what, and how. */
export type TrainingSpec = {
  /** By input of the model. */
  readonly inputs: Readonly<Record<string, Rows>>;
  /** Fixed inputs of the model: constants and states at their start, one row for every example. */
  readonly constants?: Readonly<Record<string, readonly number[]>>;
  /** Value of the model that is compared with the target: an output, or any other of its graph. */
  readonly output: string;
  /** Rows of data, or a value of the model (a reconstruction's own input). */
  readonly target: Rows | { readonly value: string };
  /** Value of the model that both are divided by before they are compared: the unit in which errors are alike. */
  readonly scale?: string;
  readonly loss: LossSpec;
  readonly optimizer: OptimizerSpec;
  /** Stored tensors that are trained, in the order of the flat vector. */
  readonly parameters: readonly string[];
  /** Examples in a batch. */
  readonly batch: number;
  /** Longest the gradient may be (Euclidean norm); a longer one is shortened. Absent: as it comes. */
  readonly clipNorm?: number;
  /** FedProx: how strongly weights are held to the base. Absent: not at all. */
  readonly proximal?: number;
};

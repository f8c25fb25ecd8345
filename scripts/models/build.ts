import type { ModelProto } from "../../src/onnx/onnx_pb.ts";
import type { NewCard } from "../../src/train/templates/template.ts";
import type { GoldenInput } from "./bundle-writer.ts";

export type BuildContext = {
  /** Writes the bundle. */
  write(model: ModelProto, card: NewCard, golden: readonly GoldenInput[]): Promise<void>;
  /** One line for whoever watches. */
  tell(line: string): void;
};

/** Builds one bundle from its data, with fixed seeds. */
export type BuildModel = (context: BuildContext) => Promise<void>;

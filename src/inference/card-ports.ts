import type { TensorType } from "../base/tensor.ts";

/** A size, or a symbol for one that is not fixed. */
export type CardDim = number | string;

/** What a card says of one input. Inputs with a `value` are constants of the model, fed with every run. */
export type CardInput = {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly CardDim[];
  readonly from: "window" | "media" | "state" | "constant";
  readonly value?: number | readonly number[] | undefined;
};

export type CardOutput = { readonly name: string; readonly type: TensorType; readonly dims: readonly CardDim[] };

/** What the model itself says of an input or output. */
export type ModelPort = {
  readonly name: string;
  readonly type?: TensorType;
  readonly shape?: readonly (number | string)[];
};

/**
 * Where a card and its model contradict each other: one sentence each, empty when they agree. A dimension that the
 * model leaves open agrees with everything; one that the card leaves open does not agree with a fixed one, but for the first.
 */
export function contradictions(
  card: { readonly inputs: readonly CardInput[]; readonly outputs: readonly CardOutput[] },
  model: { readonly inputs: readonly ModelPort[]; readonly outputs: readonly ModelPort[] },
): string[] {
  return [
    ...sideFaults("input", card.inputs, model.inputs),
    ...sideFaults("output", card.outputs, model.outputs),
    ...model.inputs
      .filter((port) => !card.inputs.some(({ name }) => name === port.name))
      .map((port) => `the model needs input ${port.name}, of which the card says nothing`),
  ];
}

function sideFaults(
  side: string,
  declared: readonly (CardInput | CardOutput)[],
  ports: readonly ModelPort[],
): string[] {
  return declared.flatMap((entry) => {
    const port = ports.find(({ name }) => name === entry.name);
    const what = `${side} ${entry.name}`;
    if (!port) return [`the model has no ${what} (it has ${ports.map(({ name }) => name).join(", ") || "none"})`];
    const faults: string[] = [];
    if (port.type !== undefined && port.type !== entry.type)
      faults.push(`${what}: the card says ${entry.type}, the model ${port.type}`);
    if (port.shape !== undefined && !dimsAgree(entry.dims, port.shape))
      faults.push(`${what}: the card says [${entry.dims.join(", ")}], the model [${port.shape.join(", ")}]`);
    return faults;
  });
}

const isOpen = (dim: number | string): dim is string => typeof dim === "string" || dim < 0;

function dimsAgree(card: readonly CardDim[], model: readonly (number | string)[]): boolean {
  // onnxruntime tells an unknown rank as no dimensions; the first run shows what such a model gives.
  if (model.length === 0) return true;
  if (card.length !== model.length) return false;
  return card.every((dim, axis) => {
    const other = model[axis] ?? -1;
    return isOpen(other) || dim === other || (axis === 0 && isOpen(dim));
  });
}

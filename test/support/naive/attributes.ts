import type { NdArray } from "./array.ts";
import type { NaiveAttributes, NaiveInputs } from "./operators.ts";

/** An input that must be there. */
export function need(inputs: NaiveInputs, place: number): NdArray {
  const input = inputs[place];
  if (!input) throw new Error(`no input ${place}`);
  return input;
}

export function numberOf(attributes: NaiveAttributes, name: string, fallback: number): number {
  const value = attributes[name] ?? fallback;
  if (typeof value !== "number") throw new Error(`${name} is no number`);
  return value;
}

export function textOf(attributes: NaiveAttributes, name: string, fallback: string): string {
  const value = attributes[name] ?? fallback;
  if (typeof value !== "string") throw new Error(`${name} is no text`);
  return value;
}

export function numbersOf(attributes: NaiveAttributes, name: string): readonly number[] | undefined {
  const value = attributes[name];
  if (value !== undefined && (typeof value === "number" || typeof value === "string"))
    throw new Error(`${name} is no list`);
  return value;
}

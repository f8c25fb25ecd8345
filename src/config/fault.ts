import { type Document, isMap, isPair, isScalar, isSeq, type LineCounter, visit } from "yaml";
import type * as z from "zod";
import { TidegateError } from "../base/errors.ts";
import { nearestName } from "../base/nearest-name.ts";
import { declaredAt, type Path, renderPath } from "./walk.ts";

/** One thing that is wrong, where it stands. Line and column count from 1; none when it does not stand in the file. */
export type Fault = {
  readonly path: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
  /** The known key or name that was most likely meant. */
  readonly nearest?: string;
};

/** What `faultAt` is told of a fault beside its path. */
export type FaultWords = { readonly message: string; readonly nearest?: string | undefined; readonly isKey?: boolean };

/** Finds the places of faults in one YAML text. */
export class FaultFinder {
  readonly #document: Document;
  readonly #lines: LineCounter;
  /** What set a value that did not come from the file: `TIDEGATE_BUFFER__MAXBYTES`, by path. */
  readonly #elsewhere: ReadonlyMap<string, string>;

  constructor(document: Document, lines: LineCounter, elsewhere: ReadonlyMap<string, string>) {
    this.#document = document;
    this.#lines = lines;
    this.#elsewhere = elsewhere;
  }

  /** Faults of YAML itself, and keys that are no names. */
  ofText(): Fault[] {
    const faults: Fault[] = this.#document.errors.map(({ message, pos }) => ({
      path: "",
      message,
      ...this.#place(pos[0]),
    }));
    visit(this.#document, {
      Pair: (_, pair, ancestors) => {
        const message = isScalar(pair.key)
          ? pair.key.value === "__proto__" && "this name cannot be used"
          : "a key is a plain text";
        if (message === false) return;
        const path = renderPath([...ancestors, pair].flatMap((node) => (isPair(node) ? [String(node.key)] : [])));
        faults.push({ path, message, ...this.#place(rangeOf(pair.key) ?? 0) });
      },
    });
    return faults;
  }

  /** The fault with the place of its key or value; of something that is missing, the place of what should hold it. */
  at(path: Path, { message, nearest, isKey = false }: FaultWords): Fault {
    const name = renderPath(path);
    const setter = this.#elsewhere.get(name);
    const near = nearest === undefined ? {} : { nearest };
    if (setter !== undefined) return { path: name, message: `${message} (set by ${setter})`, ...near };
    for (let length = path.length; length > 0; length--) {
      const offset = this.#offsetOf(path.slice(0, length), isKey && length === path.length);
      if (offset !== undefined) return { path: name, message, ...this.#place(offset), ...near };
    }
    return { path: name, message, ...this.#place(rangeOf(this.#document.contents) ?? 0), ...near };
  }

  /** What zod found, with the nearest known key for each unknown one. */
  ofIssue(issue: z.core.$ZodIssue): Fault[] {
    const path = issue.path as Path;
    if (issue.code === "invalid_key")
      return [this.at(path, { message: issue.issues[0]?.message ?? issue.message, isKey: true })];
    if (issue.code !== "unrecognized_keys") return [this.at(path, { message: issue.message })];
    const known = declaredAt(path).keys;
    return issue.keys.map((key) => this.at([...path, key], { ...unknown("key", key, known), isKey: true }));
  }

  #offsetOf(path: Path, wantsKey: boolean): number | undefined {
    const parent = path.length === 1 ? this.#document.contents : this.#document.getIn(path.slice(0, -1), true);
    const last = path.at(-1);
    if (isSeq(parent)) return rangeOf(parent.items[Number(last)]);
    if (!isMap(parent)) return undefined;
    const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(last));
    return wantsKey ? rangeOf(pair?.key) : (rangeOf(pair?.value) ?? rangeOf(pair?.key));
  }

  #place(offset: number): { line: number; column: number } {
    const { line, col } = this.#lines.linePos(offset);
    return { line, column: col };
  }
}

const rangeOf = (node: unknown): number | undefined => (node as { range?: [number] } | undefined | null)?.range?.[0];

/** Words for a name that is not known: the nearest, or all there are. */
export function unknown(what: string, name: string, known: readonly string[]): { message: string; nearest?: string } {
  const nearest = nearestName(name, known);
  if (nearest !== undefined) return { message: `unknown ${what}; did you mean ${nearest}?`, nearest };
  return { message: `unknown ${what}; known are ${known.join(", ") || "none"}` };
}

/** Every fault at once, in the order of the file. */
export function configInvalid(file: string, faults: readonly Fault[]): TidegateError {
  const last = Number.MAX_SAFE_INTEGER;
  const ordered = faults.toSorted((a, b) => (a.line ?? last) - (b.line ?? last) || (a.column ?? 0) - (b.column ?? 0));
  return new TidegateError("CONFIG_INVALID", { file, count: faults.length, faults: ordered });
}

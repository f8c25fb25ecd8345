import * as z from "zod";

/** What is said once about an option beside its zod schema: docs, JSON Schema, sample and policy are derived from it. */
export type OptionMeta = {
  readonly doc: string;
  /** May a signed remote overlay change it? `guarded`: with two signers. Containers: their leaves decide. */
  readonly remote: boolean | "guarded";
  /** How the type is called in the docs: "duration", "one of all, change, alarm" … */
  readonly type: string;
  /** Range or form that values must keep to, for the docs. */
  readonly range?: string;
  /** What the parsed value is counted in. */
  readonly unit?: "ms" | "bytes" | "°C" | "%";
  /** JSON Schema of the written form of a leaf. */
  readonly json?: Readonly<Record<string, unknown>>;
  /** The default as one would write it. */
  readonly default?: unknown;
  readonly required?: true;
  /** Value shown in the sample file; without it the option is shown commented out. */
  readonly sample?: unknown;
  /** Value that the sample file shows commented out, in place of the default. */
  readonly example?: unknown;
  /** The device profile brings a default of its own. */
  readonly byProfile?: true;
  /**
   * How a value in a layer is read: text as it is, JSON for numbers and flags, `path` relative to the file,
   * `secret` as a path, but a plain name is looked for among the unit's credentials first.
   */
  readonly scalar?: "text" | "json" | "path" | "secret";
  /** The option is a section: its keys. */
  readonly shape?: Shape;
  /** The option is a map of named things: what each is. */
  readonly entry?: z.ZodType;
  /** Name that the sample file gives to the one entry of the map that it shows. */
  readonly sampleName?: string;
  /** Form of the map's names. */
  readonly namePattern?: RegExp;
  /** The option is a list: what each item is. */
  readonly item?: z.ZodType;
  /** Most items of the list. */
  readonly max?: number;
  /** Turns the short form into the long one; anything else is returned as it is. */
  readonly expand?: (value: unknown) => unknown;
  /** What the short form is, for the docs. */
  readonly short?: string;
};

export type Shape = Readonly<Record<string, z.ZodType>>;

/** What every builder takes. `default` makes the option always present, `required` makes its lack a fault. */
export type OptionWords = {
  readonly doc: string;
  readonly remote?: boolean | "guarded";
  readonly default?: unknown;
  readonly required?: true;
  readonly sample?: unknown;
  readonly example?: unknown;
  readonly byProfile?: true;
};

/** What a builder itself says of its options. */
export type OptionFacts = Omit<OptionMeta, keyof OptionWords>;

/** The schema that a builder returns: present, or optional when neither a default nor `required` is given. */
export type Declared<S extends z.ZodType, W extends OptionWords> = W extends { default: unknown }
  ? z.ZodPrefault<S>
  : W extends { required: true }
    ? S
    : z.ZodOptional<S>;

/** What stands there, as a fault shows it: short. */
export function shown(written: unknown): string {
  if (written === undefined || written === null) return "nothing";
  let text: string | undefined;
  try {
    text = JSON.stringify(written);
  } catch {
    // An anchor that holds itself.
  }
  text ??= String(written);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** The words of a fault of type; a lack is called a lack. */
export const expectedWords = (what: string, written: unknown): string =>
  written === undefined ? `is missing: expected ${what}` : `expected ${what}, got ${shown(written)}`;

/** The same for zod's own types; its other faults keep zod's words. */
export const expecting = (what: string): { error: z.core.$ZodErrorMap } => ({
  error: (issue) => (issue.code === "invalid_type" ? expectedWords(what, issue.input) : undefined),
});

const declared = new WeakMap<z.ZodType, OptionMeta>();

/** What was declared about an option; undefined for a schema that no builder made. */
export const metaOf = (schema: z.ZodType): OptionMeta | undefined => declared.get(schema);

/** Finishes an option: presence, default and what is said about it. Builders alone call it. */
export function declare<S extends z.ZodType, const W extends OptionWords>(
  schema: S,
  words: W,
  facts: OptionFacts,
): Declared<S, W> {
  const present =
    "default" in words ? schema.prefault(words.default as never) : words.required ? schema : schema.optional();
  // A schema that is declared twice (with two docs) must not share what is said about it.
  const own = present.clone();
  declared.set(own, { remote: false, ...words, ...facts });
  return own as unknown as Declared<S, W>;
}

/** A section: a fixed set of keys. Unknown keys are faults. */
export const section = <const T extends z.core.$ZodLooseShape & Shape, const W extends OptionWords>(
  shape: T,
  words: W,
): Declared<z.ZodObject<T, z.core.$strict>, W> =>
  declare(z.strictObject(shape, expecting("keys and values")), words, { type: "section", shape });

/** A map from names that the user chooses to one kind of thing. */
export function mapOf<V extends z.ZodType, const W extends OptionWords>(
  entry: V,
  words: W & { name?: RegExp; nameForm?: string; sampleName?: string },
): Declared<z.ZodRecord<z.ZodString, V>, W> {
  const { name = idPattern, nameForm = "[A-Za-z0-9_-]{1,64}", ...rest } = words;
  const key = z.string().regex(name, `must match ${nameForm}`);
  return declare(z.record(key, entry, expecting("names with values")), rest as unknown as W, {
    type: "map",
    entry,
    namePattern: name,
    range: `names match \`${nameForm}\``,
  });
}

/** A list of one kind of thing, bounded. */
export function listOf<V extends z.ZodType, const W extends OptionWords>(
  item: V,
  words: W & { max: number },
): Declared<z.ZodArray<V>, W> {
  const { max, ...rest } = words;
  return declare(z.array(item, expecting("a list")).max(max, `at most ${max} entries`), rest as unknown as W, {
    type: "list",
    item,
    max,
    range: `at most ${max} entries`,
  });
}

/** A section that also has a short form, such as `timestamp: ts` for `timestamp: { path: ts }`. */
export function sectionOr<const T extends z.core.$ZodLooseShape & Shape, const W extends OptionWords>(
  shape: T,
  words: W & { short: string; key: string },
): Declared<z.ZodPreprocess<z.ZodObject<T, z.core.$strict>>, W> {
  const { short, key, ...rest } = words;
  const expand = (value: unknown) =>
    typeof value === "string" || typeof value === "number" ? { [key]: value } : value;
  const schema = z.preprocess(expand, z.strictObject(shape, expecting(`${short} or keys and values`)));
  return declare(schema, rest as unknown as W, { type: "section", shape, expand, short });
}

/** Ids of gateways, fleets, streams, fields and models. */
export const idPattern = /^[A-Za-z0-9_-]{1,64}$/;

import type * as z from "zod";
import type { configSchema } from "./schema.ts";

type Parsed = z.output<typeof configSchema>;

/** The parsed configuration: durations in ms, sizes in bytes, paths absolute, defaults filled in. */
export type Config = Omit<Parsed, "models"> & { readonly models: Parsed["models"] & { readonly dir: string } };
export type StreamConfig = Config["streams"][string];
export type LinkConfig = Config["sensors"];
export type CloudConfig = NonNullable<Config["cloud"]>;

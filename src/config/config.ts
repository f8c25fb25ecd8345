import type * as z from "zod";
import type { configSchema } from "./schema.ts";

/** The parsed configuration: durations in ms, sizes in bytes, paths absolute, defaults filled in. */
export type Config = z.output<typeof configSchema>;
export type StreamConfig = Config["streams"][string];
export type LinkConfig = Config["sensors"];
export type CloudConfig = NonNullable<Config["cloud"]>;
